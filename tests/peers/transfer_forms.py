"""Transfers in every form, as dnspython asks for them and judges the answers. Prints a line for each.

ADDRESS PORT SECRET FILE first   transfers the zone and writes it to FILE
ADDRESS PORT SECRET FILE then    transfers the difference to what FILE has, writes what follows, and asks in every other form
"""

import socket
import struct
import sys
import time

import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.xfr
import dns.zone

address, port, secret, file, part = sys.argv[1:]
port = int(port)
ZONE = dns.name.from_text("cluster.local")


def key(name="secondary", algorithm=dns.tsig.HMAC_SHA256, of=secret):
    return dns.tsig.Key(name, of, algorithm)


def query(rdtype, serial=None, zone=ZONE):
    message = dns.message.make_query(zone, rdtype)
    if serial is not None:
        soa = dns.rdata.from_text("IN", "SOA", f". . {serial} 0 0 0 0")
        message.authority.append(dns.rrset.from_rdata(zone, 0, soa))
    return message


def send(octets, udp, source):
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as connection:
        connection.settimeout(10)
        connection.bind((source, 0))
        connection.connect((address, port))
        if udp:
            connection.send(octets)
            return connection.recv(65535)
        connection.sendall(struct.pack("!H", len(octets)) + octets)
        answer = b""
        while len(answer) < 2 or len(answer) < 2 + struct.unpack("!H", answer[:2])[0]:
            more = connection.recv(65535)
            if not more:
                raise EOFError
            answer += more
        return answer[2 : 2 + struct.unpack("!H", answer[:2])[0]]


verdict = None


def judge(wire, key, owner, rdata, now, request_mac, start, ctx=None, multi=False):
    """Takes the signature of a refusal for what it is, where dnspython looks at its error alone."""
    global verdict
    error = dns.rcode.to_text(dns.rcode.Rcode(rdata.error), tsig=True) if rdata.error else "NOERROR"
    count = struct.unpack("!H", wire[10:12])[0] - 1
    unsigned = wire[:10] + struct.pack("!H", count) + wire[12:start]
    digest = dns.tsig._digest(unsigned, key, rdata, None, request_mac, ctx, multi)
    try:
        digest.verify(rdata.mac)
        signed = "signed"
    except dns.tsig.BadSignature:
        signed = "wrongly signed" if rdata.mac else "unsigned"
    verdict = f"{error} {signed}"
    if rdata.other:
        server = int.from_bytes(rdata.other, "big")
        verdict += " with the time" if len(rdata.other) == 6 and abs(server - time.time()) < 60 else " with another time"
    return dns.tsig._maybe_start_digest(key, rdata.mac, multi)


def ask(what, message, key=None, udp=False, shift=0, source="127.0.0.1"):
    global verdict
    verdict = None
    clock = time.time
    if key is not None:
        message.use_tsig(key)
        time.time = lambda: clock() + shift
    try:
        octets = message.to_wire()
    finally:
        time.time = clock
    answer = send(octets, udp, source)
    dns.tsig.validate = judge
    try:
        answer = dns.message.from_wire(answer, keyring=key or False, request_mac=message.mac, one_rr_per_rrset=True)
    finally:
        dns.tsig.validate = validate
    soas = sum(1 for rrset in answer.answer if rrset.rdtype == dns.rdatatype.SOA)
    records = "no records" if not answer.answer else f"{soas} SOA" + (" alone" if len(answer.answer) == soas else "")
    rcode = dns.rcode.to_text(answer.rcode())
    print(f"{what}: {rcode}, {records}" + (f", {verdict}" if verdict else ""))


validate = dns.tsig.validate


def transfer(zone, serial):
    """With dnspython's own check of each message and of the difference."""
    message, _ = dns.xfr.make_query(zone, serial=serial, keyring=key())
    dns.query.inbound_xfr(address, zone, message, port=port, lifetime=10)
    zone.to_file(file, relativize=False)


if part == "first":
    transfer(dns.zone.Zone(ZONE, relativize=False), None)
    sys.exit()

zone = dns.zone.from_file(file, ZONE, relativize=False, check_origin=False)
old = zone.get_soa().serial
transfer(zone, old)
new = zone.get_soa().serial
print("the difference leads to a newer version:", new != old)

ask("AXFR", query("AXFR"), key())
ask("AXFR with SHA-512 as the key is", query("AXFR"), key("long", dns.tsig.HMAC_SHA512))
ask("IXFR of the version before", query("IXFR", old), key())
ask("IXFR of an unknown version", query("IXFR", (new - 1000) % 2**32), key())
ask("IXFR of the same version", query("IXFR", new), key())
ask("IXFR of a newer version", query("IXFR", (new + 16) % 2**32), key())
ask("IXFR over UDP", query("IXFR", old), key(), udp=True)
ask("IXFR without a version", query("IXFR"), key())
ask("AXFR over UDP", query("AXFR"), key(), udp=True)
ask("SOA over UDP", query("SOA"), key(), udp=True)
ask("unsigned", query("AXFR"))
ask("unsigned IXFR over UDP", query("IXFR", old), udp=True)
ask("not allowed", query("AXFR"), key(), source="127.0.0.9")
ask("no zone", query("AXFR", zone=dns.name.from_text("example.com")), key())
ask("wrong secret", query("AXFR"), key(of="d3Jvbmc="))
ask("unknown key", query("AXFR"), key("other"))
ask("wrong algorithm", query("AXFR"), key(algorithm=dns.tsig.HMAC_SHA512))
ask("unsupported algorithm", query("AXFR"), key(algorithm=dns.tsig.HMAC_SHA1))
ask("late", query("AXFR"), key(), shift=3600)
ask("early", query("AXFR"), key(), shift=-3600)
ask("early over UDP", query("IXFR", old), key(), udp=True, shift=-3600)
