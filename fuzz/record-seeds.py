#!/usr/bin/env python3
"""Makes the seeds of the fuzz targets anew: queries as dig, kdig, nslookup, host, dnsperf and unbound send them, recorded on a
socket that refuses them all, and as the resolvers of C libraries write them; malformed ones, streams, HTTPS requests and responses
made of these; histories of the objects in tests/cases, and of Pods; state files, which a test of the suite writes.

Needs those programs, cargo and python3-yaml. The seeds are committed, so this is for whoever wants others. Seeds that were
findings (`regression-…`) stay.
"""

import base64
import json
import pathlib
import random
import socket
import struct
import subprocess
import tempfile
import threading

import yaml

HERE = pathlib.Path(__file__).parent
ZONE = "cluster.local"
NAMES = ["pg.db.svc", "pg-0.pg.db.svc", "PG-0.Pg.DB.svc", "_sql._tcp.pg.db.svc", "big.db.svc", "nope.db.svc", "dns-version"]


class Recorder:
    """A server that keeps every query and answers REFUSED."""

    def __init__(self):
        self.queries = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, client = self.socket.recvfrom(65535)
            self.queries.append(query)
            self.socket.sendto(query[:2] + bytes([0x80 | query[2], 5]) + query[4:], client)


def run(*command, stdin=None):
    subprocess.run(command, input=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20, check=False)


def clients(port):
    at = ["@127.0.0.1", "-p", str(port), "+tries=1"]
    for name in NAMES:
        run("dig", *at, f"{name}.{ZONE}", "A")
    for options in [
        ["+noedns", "AAAA"], ["+bufsize=4096", "+dnssec", "SRV"], ["+norecurse", "+cdflag", "ANY"], ["+nocookie", "A"],
        ["+edns=1", "+noednsnegotiation", "A"], ["+nsid", "A"], ["+subnet=10.1.0.0/16", "A"], ["+keepalive", "A"],
        ["+padding=128", "A"], ["+expire", "SOA"], ["+ednsopt=65001:abcdef", "A"], ["+header-only"],
        ["+opcode=notify", "SOA"], ["+opcode=update", "SOA"], ["+zflag", "+adflag", "A"], ["-c", "CH", "TXT"],
        ["-y", "hmac-sha256:key:c2VjcmV0c2VjcmV0c2VjcmV0", "A"],
    ]:
        run("dig", *at, f"pg.db.svc.{ZONE}", *options)
    knot = ["@127.0.0.1", "-p", str(port), "+retry=0", "+time=1"]
    for options in [["A"], ["+dnssec", "AAAA"], ["+padding=64", "SRV"], ["+edns", "+nsid", "+cookie", "+subnet=fd00::/56", "A"],
                    ["+noedns", "TXT"], ["+edns=5", "A"]]:
        run("kdig", *knot, f"pg-0.pg.db.svc.{ZONE}", *options)
    run("kdig", *knot, "-x", "10.1.0.11")
    run("dig", *at, "-c", "CH", "version.bind", "TXT")
    run("dig", *at, "-x", "10.1.0.10")
    run("dig", *at, "-x", "fd00::1")
    run("dig", *at, ".", "NS")
    run("dig", *at, ZONE, "SOA")
    run("dig", *at, "example.com", "A")
    run("nslookup", f"-port={port}", "-timeout=1", f"pg.db.svc.{ZONE}", "127.0.0.1")
    run("host", "-p", str(port), "-t", "SRV", f"_sql._tcp.pg.db.svc.{ZONE}", "127.0.0.1")
    queries = "".join(f"{name}.{ZONE} A\n" for name in NAMES[:2]).encode()
    with tempfile.NamedTemporaryFile() as data:
        data.write(queries)
        data.flush()
        for options in [[], ["-e"], ["-e", "-D"]]:
            run("dnsperf", "-s", "127.0.0.1", "-p", str(port), "-d", data.name, "-n", "1", "-Q", "10", *options)


def question(name, qtype, qclass=1):
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + struct.pack(">BHH", 0, qtype, qclass)


def opt(size, flags=0, options=b""):
    return struct.pack(">BHHBBHH", 0, 41, size, 0, 0, flags, len(options)) + options


def libraries():
    """Queries as resolvers of C libraries write them, which want port 53 and so cannot be recorded here."""
    name = f"pg-0.pg.db.svc.{ZONE}"
    for qtype in [1, 28]:
        plain, extended = struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0), struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 1)
        # glibc, and with `options edns0 trust-ad`; musl, which sets AD; Go; systemd-resolved without and with DNSSEC; a forwarder that
        # mixes letter cases.
        yield f"glibc-{qtype}", plain + question(name, qtype)
        yield f"glibc-edns-{qtype}", struct.pack(">HHHHHH", 7, 0x0120, 1, 0, 0, 1) + question(name, qtype) + opt(1200)
        yield f"musl-{qtype}", struct.pack(">HHHHHH", 0xbeef, 0x0120, 1, 0, 0, 0) + question(name, qtype)
        yield f"go-{qtype}", extended + question(name, qtype) + opt(1232)
        yield f"resolved-{qtype}", extended + question(name, qtype) + opt(1472)
        yield f"resolved-do-{qtype}", extended + question(name, qtype) + opt(65494, 0x8000)
        yield f"mixed-case-{qtype}", extended + question("pG-0.Pg.dB.SvC.clUSTEr.lOCAL", qtype) + opt(1400, 0x8000)


def known(qtypes):
    """Questions for the names that a target knows, by their number, with all kinds of options."""
    options = [None, b"", b"\0\x03\0\0", b"\0\x0b\0\0", b"\0\x0c\0\x02\0\0", b"\0\x08\0\x07\0\x01\x18\0\x0a\x01\0",
               b"\0\x0a\0\x08cookies!"]
    for number in range(64):
        head = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0 if number % len(options) == 0 else 1)
        name = bytes([0xc0 if number % 3 else 0x80, number])
        data = options[number % len(options)]
        record = b"" if data is None else opt([0, 512, 1232, 4096][number % 4], 0, data)
        yield f"known-{number:02}", head + name + struct.pack(">HH", qtypes[number % len(qtypes)], 1) + record


def streams(queries):
    """Queries behind one another, cut in several ways. The first octets are flags and the lengths of the pieces."""
    framed = [struct.pack(">H", len(query)) + query for query in queries]
    some = b"".join(framed[:8])
    yield "one", bytes([0, 0]) + framed[0]
    yield "octet-by-octet", bytes([0, 1, 0]) + some
    yield "in-pieces", bytes([0, 3, 40, 0, 7]) + some
    yield "over-tls", bytes([1, 1, 90]) + some
    yield "then-silent", bytes([2, 1, 200]) + some
    yield "stopped", bytes([4 | 3 << 3, 1, 30]) + some
    yield "cut-off", bytes([0, 1, 100]) + some[:-9]
    yield "empty-messages", bytes([0, 1, 1]) + b"\0\0" * 5 + framed[1] + b"\0\0"
    yield "with-garbage", bytes([0, 1, 64]) + framed[2] + b"\0\x05hello" + framed[3] + struct.pack(">H", 700) + bytes(700) + framed[4]
    yield "longest-announced", bytes([2, 1, 255]) + framed[0] + b"\xff\xff" + bytes(2000)
    yield "never-a-message", bytes([0, 0]) + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    # Answers that have to be written in several goes.
    big = struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + question(f"big.db.svc.{ZONE}", 33)
    yield "large-answers", bytes([0, 0]) + (struct.pack(">H", len(big)) + big) * 40


def requests(queries):
    """Requests for answers over HTTPS. The first letters say how the body comes; see the target."""
    query = queries[0]
    encoded = base64.urlsafe_b64encode(query).rstrip(b"=").decode()
    get = lambda target, method="GET": b"\0\0\0" + f"{method} {target}\n\n".encode()
    post = lambda body, media="application/dns-message", how=b"\0\0\0", path="/dns-query": how + f"POST {path}\n{media}\n".encode() + body
    yield "get", get(f"/dns-query?dns={encoded}")
    yield "get-other-variables", get(f"/dns-query?ct&dns={encoded}&x=1")
    yield "get-padded", get(f"/dns-query?dns={encoded}==")
    yield "get-odd-bits", get("/dns-query?dns=AAABAAABAAAAAAAAB")
    yield "get-standard-alphabet", get("/dns-query?dns=++//")
    yield "get-nothing", get("/dns-query")
    yield "get-empty", get("/dns-query?dns=")
    yield "get-twice", get(f"/dns-query?dns=AAAA&dns={encoded}")
    yield "get-fragment", get(f"/dns-query?dns={encoded}#dns=")
    yield "head", get(f"/dns-query?dns={encoded}", "HEAD")
    yield "other-path", get(f"/resolve?dns={encoded}")
    yield "post", post(query)
    yield "post-parameters", post(query, "Application/DNS-Message ; charset=utf-8")
    yield "post-json", post(query, "application/json")
    yield "post-nothing", post(b"")
    yield "post-response", post(query[:2] + b"\x81" + query[3:])
    yield "post-in-pieces", post(query + bytes(200), how=b"\0\1\0")
    yield "post-too-long", post(bytes(1000), how=b"\x10\xff\0")
    yield "post-broken", post(query, how=b"\0\0\1")
    yield "post-silent", post(query, how=b"\0\0\2")
    yield "put", b"\0\0\0PUT /dns-query\napplication/dns-message\n" + query


def responses():
    """What upstreams send back, behind an octet of flags (of which 4 gives back the letter case of the query)."""
    asked = question("www.example.org", 1)
    pointer = b"\xc0\x0c"

    def record(owner, rr_type, ttl, data):
        return owner + struct.pack(">HHIH", rr_type, 1, ttl, len(data)) + data

    def message(flags, sections, asked=asked):
        counts = [len(section) for section in sections]
        return b"\4" + struct.pack(">HHHHHH", 0x4711, flags, 1, *counts) + asked + b"".join(sum(sections, []))

    a = record(pointer, 1, 300, bytes([192, 0, 2, 1]))
    soa = record(b"\xc0\x10", 6, 3600, b"\2ns\xc0\x10\4host\xc0\x10" + struct.pack(">IIIII", 1, 7200, 3600, 86400, 300))
    alias = record(pointer, 5, 60, b"\5alias\xc0\x10")
    at = bytes([0xc0, 12 + len(asked) + 12])
    yield "address", message(0x8180, [[a], [], [opt(1232)]])
    yield "many-addresses", message(0x8180, [[record(pointer, 1, 5 + i, bytes([192, 0, 2, i])) for i in range(60)], [], []])
    yield "alias", message(0x8180, [[alias, record(at, 1, 30, bytes([192, 0, 2, 2]))], [], [opt(512, 0x8000)]])
    yield "denied", message(0x8183, [[], [soa], [opt(1232)]])
    yield "no-data", message(0x8180, [[], [soa], []])
    yield "alias-denied", message(0x8183, [[alias], [soa], []])
    yield "failure", message(0x8182, [[], [], [opt(1232, 0, b"\0\x0f\0\x02\0\x16")]])
    yield "bad-version", message(0x8180, [[], [], [struct.pack(">BHHBBHH", 0, 41, 1232, 1, 0, 0, 0)]])
    yield "referral", message(0x8100, [[], [record(b"\xc0\x10", 2, 60, b"\2ns\xc0\x10")], [record(b"\2ns\xc0\x10", 1, 60, bytes(4))]])
    yield "cut", message(0x8380, [[a], [], []])
    yield "services", message(0x8180, [[record(pointer, 33, 60, struct.pack(">HHH", 0, 5, 443) + b"\3srv\xc0\x10"),
                                       record(pointer, 15, 60, b"\0\x0a\2mx\xc0\x10")], [], []], question("www.example.org", 255))
    yield "text", message(0x8180, [[record(pointer, 16, 2**31 + 5, b"\5hello\0")], [], []], question("www.example.org", 16))
    yield "opt-before-others", message(0x8180, [[a], [], [opt(1232), record(b"\2ns\xc0\x10", 1, 60, bytes(4))]])
    yield "pointer-into-header", message(0x8180, [[record(b"\xc0\0", 1, 60, bytes(4))], [], []])
    yield "pointer-to-itself", message(0x8180, [[record(bytes([0xc0, 12 + len(asked)]), 1, 60, bytes(4))], [], []])
    yield "signed", message(0x81a0, [[a, record(pointer, 46, 300, struct.pack(">HBBIIIH", 1, 13, 3, 300, 2, 1, 7) + b"\7example\3org\0" + bytes(64))], [], [opt(1232, 0x8000)]])
    yield "other-question", message(0x8180, [[a], [], []], question("www.example.com", 1))
    yield "a-query", message(0x0100, [[], [], []])
    # The answer to another ID than that of the query, and to another name.
    yield "other-id", b"\5" + message(0x8180, [[a], [], []])[1:]
    yield "other-name", b"\6" + message(0x8180, [[a], [], []], question("www.example.com", 1))[1:]


def unbound(port):
    """What a forwarder sends: with and without EDNS (it tries both when refused), with letters of random case."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        listen = free.getsockname()[1]
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(f"""
server:
  interface: 127.0.0.1@{listen}
  do-daemonize: no
  username: ""
  chroot: ""
  pidfile: ""
  directory: "/tmp"
  use-syslog: no
  use-caps-for-id: yes
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: "cluster.local." nodefault
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{port}
""")
        file.flush()
        forwarder = subprocess.Popen(["unbound", "-d", "-c", file.name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for name in NAMES[:3]:
                run("dig", "@127.0.0.1", "-p", str(listen), "+tries=3", "+time=2", f"{name}.{ZONE}")
        finally:
            forwarder.terminate()
            forwarder.wait()


def malformed(queries):
    """Each kind of wrong message once, made of a plain query with an OPT record."""
    plain = next(q for q in queries if q[10:12] == b"\0\1" and q[4:6] == b"\0\1" and q[2] & 0x78 == 0)
    end = plain.index(b"\0", 12) + 5
    question = plain[12:end]
    head = plain[:4]
    yield "empty", b""
    yield "half-a-header", plain[:7]
    yield "header-alone", head + b"\0\1" + bytes(6)
    yield "response", plain[:2] + b"\x81" + plain[3:]
    yield "no-question", head + bytes(8)
    yield "many-questions", head + b"\xff\xff" + bytes(6) + question
    yield "compressed-question", head + b"\0\1" + bytes(6) + b"\xc0\x06\0\1\0\1"
    yield "pointer-to-itself", head + b"\0\1" + bytes(6) + b"\xc0\x0c\0\1\0\1"
    yield "reserved-label", head + b"\0\1" + bytes(6) + b"\x80" + question[1:]
    yield "long-name", head + b"\0\1" + bytes(6) + b"\x3f" + b"a" * 63 + (b"\x3f" + b"b" * 63) * 3 + b"\0\0\1\0\1"
    yield "longest-name", head + b"\0\1" + bytes(6) + (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"b" * 61 + b"\0\0\1\0\1"
    yield "cut-short", plain[: end - 3]
    yield "octets-behind", head + b"\0\1" + bytes(6) + question + b"octets"
    yield "two-opts", head + b"\0\1" + bytes(4) + b"\0\2" + question + opt(1232) + opt(1232)
    yield "opt-in-answer", head + b"\0\1\0\1" + bytes(4) + question + opt(1232)
    yield "opt-with-owner", head + b"\0\1" + bytes(4) + b"\0\1" + question + b"\1a" + opt(1232)
    yield "opt-option-too-long", head + b"\0\1" + bytes(4) + b"\0\1" + question + opt(1232)[:-2] + b"\0\4\0\x0a\0\xff"
    yield "record-missing", head + b"\0\1" + bytes(4) + b"\0\5" + question + opt(1232)
    yield "answer-in-query", head + b"\0\1\0\1" + bytes(4) + question + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x0a\0\0\1"


def histories():
    """The objects of each case, applied, and then deleted or listed anew; and objects as API servers really send them."""
    for case in sorted((HERE / "../tests/cases").glob("*.yaml")):
        objects = [o for o in yaml.safe_load_all(yaml.safe_load(case.read_text())["objects"]) if o]
        letters = {"Service": "S", "EndpointSlice": "E", "Pod": "P"}
        lines = [f"{letters[o['kind']]} {json.dumps(o, separators=(',', ':'))}" for o in objects]
        # Shuffled alike each time: in any order of arrival.
        random.Random(case.stem).shuffle(lines)
        for part in range(0, len(lines), 6):
            some = lines[part : part + 6]
            services = [line for line in some if line.startswith("S ")]
            history = ["<S", "<E", *some, ">S", ">E", "!", "<S", *services[:1], ">S", "!"]
            yield f"{case.stem}-{part // 6}", "\n".join(history)
    metadata = {
        "name": "redis", "namespace": "default", "uid": "0b9f5c1e-5d5e-4a3e-9a57-1f8e2f0f7f11", "resourceVersion": "4711",
        "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "redis"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"apiVersion\":\"v1\"}\n"},
        "managedFields": [{"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "v1",
                           "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1",
                           "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:clusterIP": {}}}}],
    }
    service = {
        "kind": "Service", "apiVersion": "v1", "metadata": metadata, "status": {"loadBalancer": {}},
        "spec": {"ports": [{"name": "redis", "protocol": "TCP", "port": 6379, "targetPort": "redis"}],
                 "selector": {"app": "redis"}, "clusterIP": "None", "clusterIPs": ["None"], "type": "ClusterIP",
                 "sessionAffinity": "None", "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack",
                 "internalTrafficPolicy": "Cluster"},
    }
    endpoint = {
        "addresses": ["10.244.1.7"], "hostname": "redis-0", "nodeName": "node-1", "zone": "a",
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "redis-0", "uid": "1f0f6cda-9f6b-45c2-8a0c-94f3c0d2f6a1"},
    }
    slice_ = {
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
        "metadata": {**metadata, "name": "redis-x7k2p", "generateName": "redis-",
                     "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "redis", "controller": True}],
                     "labels": {"kubernetes.io/service-name": "redis", "service.kubernetes.io/headless": "",
                                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
        "endpoints": [endpoint], "ports": [{"name": "redis", "protocol": "TCP", "port": 6379}],
    }
    dumps = lambda value: json.dumps(value, separators=(",", ":"))
    yield "as-sent", "\n".join([f"S {dumps(service)}", f"E {dumps(slice_)}", "!", "e default/redis-x7k2p", "!", "s default/redis"])
    wrong = {"kind": "EndpointSlice", "metadata": {"name": 7, "namespace": ["x"]}, "endpoints": {"a": [1]}, "ports": "none"}
    yield "malformed", "\n".join([f"E {dumps(wrong)}", "S []", "S null", 'E {"metadata":{}}', "S {}", "E 1e999", "<E", ">E"])
    odd = {**slice_, "endpoints": [{"addresses": []}, {"addresses": ["::ffff:10.0.0.1"]}, 7, {**endpoint, "hostname": "A_b"}],
           "ports": [{"port": 70000}, {"name": "", "port": 1}, {"name": "x" * 80, "port": 2}, {"protocol": "SCTP", "name": "s", "port": 3}]}
    named = lambda name: "S " + dumps({"metadata": {"namespace": "db", "name": name}, "spec": {"clusterIP": "10.96.0.1"}})
    yield "upper-case", "\n".join([named("pg"), named("PG"), "!", "s db/PG", "!", named("Pg"), "s db/pg"])
    yield "odd-parts", "\n".join([f"S {dumps(service)}", f"E {dumps(odd)}", "!", f"E {dumps(slice_)}"])


def pod_histories():
    """What becomes of the Pods of a StatefulSet: each line is an event, in the order in which watches may tell them."""
    dumps = lambda value: json.dumps(value, separators=(",", ":"))
    uid = lambda number: f"0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a{number:02x}"

    def service(**spec):
        return "S " + dumps({"metadata": {"namespace": "db", "name": "pg"},
                             "spec": {"clusterIP": "None", "selector": {"app": "pg"},
                                      "ports": [{"name": "sql", "port": 5432, "targetPort": "sql"}], **spec}})

    def pod(name, number, addresses=(), ready=True, subdomain="pg", deleted=False, version=1, labels=None, phase="Running"):
        metadata = {"namespace": "db", "name": name, "uid": uid(number), "resourceVersion": str(version),
                    "labels": {"app": "pg", "statefulset.kubernetes.io/pod-name": name} if labels is None else labels,
                    "ownerReferences": [{"kind": "StatefulSet", "name": "pg", "controller": True}]}
        if deleted:
            metadata["deletionTimestamp"] = "2026-11-20T10:00:00Z"
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-11-20T10:00:00Z"}
        return "P " + dumps({"metadata": metadata,
                             "spec": {"hostname": name, "subdomain": subdomain, "containers": [{"ports": [{"name": "sql", "containerPort": 5433}]}]},
                             "status": {"phase": phase, "podIPs": [{"ip": address} for address in addresses], "conditions": [condition]}})

    def slice_(*endpoints, name="pg-a", version=1, family="IPv4"):
        endpoints = [{"addresses": [address], "hostname": pod, "conditions": {"ready": True},
                      "targetRef": {"kind": "Pod", "namespace": "db", "name": pod, "uid": uid(number)}} for pod, number, address in endpoints]
        return "E " + dumps({"metadata": {"namespace": "db", "name": name, "resourceVersion": str(version),
                                          "labels": {"kubernetes.io/service-name": "pg",
                                                     "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
                             "addressType": family, "ports": [{"name": "sql", "port": 5433}], "endpoints": endpoints})

    synced = ["<S", service(), ">S", "<E", ">E", "<P", ">P", "!"]
    one, two = ["10.1.0.10"], ["10.1.0.11"]
    yield "pods-become-ready", synced + [pod("pg-0", 0, ready=False), "!", pod("pg-0", 0, one, ready=False, version=2), "!",
                                         pod("pg-0", 0, one, version=3), "!", slice_(("pg-0", 0, *one), version=4)]
    yield "pods-replaced", synced + [pod("pg-0", 0, one), slice_(("pg-0", 0, *one), version=2), pod("pg-0", 0, one, deleted=True, version=3),
                                     "!", "p db/pg-0", "!", pod("pg-0", 1, two, version=5), "!", slice_(("pg-0", 1, *two), version=6)]
    yield "pods-slice-first", synced + [pod("pg-0", 0, one), "!", slice_(("pg-0", 1, *two), version=5), "!", "p db/pg-0", pod("pg-0", 1, two, version=6)]
    yield "pods-forced", synced + [pod("pg-0", 0, one), slice_(("pg-0", 0, *one)), "p db/pg-0", "!", slice_(("pg-0", 0, *one), version=9), "!"]
    yield "pods-relabelled", synced + [pod("pg-0", 0, one), "!", pod("pg-0", 0, one, labels={"app": "other"}, version=2), "!",
                                       slice_(("pg-0", 0, *one), version=3)]
    yield "pods-elsewhere", synced + [pod("pg-0", 0, one, subdomain="other"), pod("pg-1", 1, two, subdomain=""), "!", "s db/pg", "!"]
    yield "pods-finished", synced + [pod("pg-0", 0, one, phase="Succeeded"), pod("pg-1", 1, two, phase="Failed"), "!"]
    both = ["10.1.0.10", "fd00::10"]
    yield "pods-of-both-families", [service(ipFamilies=["IPv6"])] + synced[4:] + [pod("pg-0", 0, both), "!", service(ipFamilies=["IPv4", "IPv6"]),
                                    slice_(("pg-0", 0, "fd00::10"), name="pg-6", family="IPv6"), "!"]
    not_ready = json.loads(service()[2:])
    not_ready["metadata"]["annotations"] = {"headless-dns/not-ready-ordinals": "true"}
    yield "pods-not-ready-ordinals", synced + ["S " + dumps(not_ready), pod("pg-0", 0, one, ready=False), "!", service(publishNotReadyAddresses=True), "!"]
    yield "pods-listed-anew", synced + [pod("pg-0", 0, one), pod("pg-1", 1, two), "!", "<P", pod("pg-1", 1, two, version=2), ">P", "!", "<E",
                                        slice_(("pg-1", 1, *two)), ">E"]
    yield "pods-malformed", synced + ['P {"metadata":{"namespace":"db","name":"pg-0","uid":7},"status":[]}', "P {}", pod("pg-0", 0, ["x", *one]), "!"]


def write(folder, name, data):
    (HERE / "seeds" / folder / name).write_bytes(data)


def clear(folder):
    """Removes all seeds but those that were findings."""
    folder = HERE / "seeds" / folder
    folder.mkdir(parents=True, exist_ok=True)
    for seed in folder.iterdir():
        if not seed.name.startswith("regression-"):
            seed.unlink()


def main():
    recorder = Recorder()
    clients(recorder.port)
    unbound(recorder.port)
    kept = {}
    for query in recorder.queries:
        # The same but for its ID and its cookie is the same.
        kept.setdefault((query[2:60].lower(), len(query)), query)
    queries = list(kept.values())
    for folder in ["packet", "differential", "truth", "stream", "https", "upstream", "state", "objects"]:
        clear(folder)
    for folder in ["packet", "differential"]:
        for number, query in enumerate(queries):
            write(folder, f"recorded-{number:02}", query)
        for name, query in libraries():
            write(folder, name, query)
    for name, message in malformed(queries):
        write("packet", name, message)
    for folder, qtypes in [("differential", [1, 28, 33, 12, 255, 6, 2, 5, 16, 13, 252]), ("truth", [1, 28, 33, 12, 5, 6, 255])]:
        for name, query in known(qtypes):
            write(folder, name, query)
    for name, stream in streams(queries):
        write("stream", name, stream)
    for name, request in requests(queries):
        write("https", name, request)
    for name, response in responses():
        write("upstream", name, response)
    for name, history in histories():
        write("objects", name, history.encode())
    for name, history in pod_histories():
        write("objects", name, "\n".join(history).encode())
    subprocess.run(["cargo", "test", "--test", "suite", "seeds::the_seeds_of_the_state_are_written", "--", "--ignored"], cwd=HERE / "..", check=True)


main()
