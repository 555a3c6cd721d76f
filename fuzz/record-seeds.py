#!/usr/bin/env python3
"""Makes the seeds of the fuzz targets anew: queries as dig, nslookup, host, dnsperf and unbound send them, recorded on a
socket that refuses them all; malformed ones made of these; and histories of the objects in tests/cases.

Needs those programs and python3-yaml. The seeds are committed, so this is for whoever wants others.
"""

import json
import pathlib
import random
import socket
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
    opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
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
    yield "two-opts", head + b"\0\1" + bytes(4) + b"\0\2" + question + opt + opt
    yield "opt-in-answer", head + b"\0\1\0\1" + bytes(4) + question + opt
    yield "opt-with-owner", head + b"\0\1" + bytes(4) + b"\0\1" + question + b"\1a" + opt
    yield "opt-option-too-long", head + b"\0\1" + bytes(4) + b"\0\1" + question + opt[:-2] + b"\0\4\0\x0a\0\xff"
    yield "record-missing", head + b"\0\1" + bytes(4) + b"\0\5" + question + opt
    yield "answer-in-query", head + b"\0\1\0\1" + bytes(4) + question + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x0a\0\0\1"


def histories():
    """The objects of each case, applied, and then deleted or listed anew; and objects as API servers really send them."""
    for case in sorted((HERE / "../tests/cases").glob("*.yaml")):
        objects = [o for o in yaml.safe_load_all(yaml.safe_load(case.read_text())["objects"]) if o]
        lines = [("S " if o["kind"] == "Service" else "E ") + json.dumps(o, separators=(",", ":")) for o in objects]
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


def write(folder, name, data):
    folder = HERE / "seeds" / folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main():
    recorder = Recorder()
    clients(recorder.port)
    unbound(recorder.port)
    kept = {}
    for query in recorder.queries:
        # The same but for its ID and its cookie is the same.
        kept.setdefault((query[2:60].lower(), len(query)), query)
    queries = list(kept.values())
    for number, query in enumerate(queries):
        write("packet", f"recorded-{number:02}", query)
    for name, message in malformed(queries):
        write("packet", name, message)
    for name, history in histories():
        write("objects", name, history.encode())
    for number in range(16):
        write("differential", f"random-{number:02}", random.Random(number).randbytes(40 + 8 * number))


main()
