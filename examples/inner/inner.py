#!/usr/bin/env python3
"""Two inner services, an aggregator that asks both for each page, and a name server, with Python's standard library.

  inner.py serve          starts all four, and tells where
  inner.py try TENTPOLE   starts them, then Tentpole before the services, and compares what 200 pages cost each way

The aggregator of `try` asks first as many applications do: it looks up the name (with search domains, for IPv4 and IPv6, for
nothing is remembered), connects, asks, and closes. Then it asks by way of Tentpole, on connections that it keeps.
"""

import http.client
import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HERE = os.path.dirname(os.path.abspath(__file__))
NAME_SERVER = ("127.0.0.1", 5390)
TENTPOLE = ("127.0.0.1", 8090)
AGGREGATOR = ("127.0.0.1", 9000)
SERVICES = {"prices.internal": 9001, "stocks.internal": 9002}
ANSWERS = {"prices.internal": b"12.50\n", "stocks.internal": b"3 left\n"}
TTL_S = 5
# What a container's resolv.conf often says: short names are completed, and all four are asked for before the right one.
SEARCH = ["shop.svc.cluster.internal", "svc.cluster.internal", "cluster.internal"]
TYPES = {"A": 1, "AAAA": 28}
PAGES = 200

counts = {"questions": 0, "connections": 0, "requests": 0}
lock = threading.Lock()


def count(what):
    with lock:
        counts[what] += 1


class Names(socketserver.BaseRequestHandler):
    """Says that the services are on this machine (RFC 1035); of every other name that there is none."""

    def handle(self):
        question, connection = self.request
        count("questions")
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1 : at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = struct.unpack("!H", question[at + 1 : at + 3])[0]
        known = ".".join(labels).lower() in SERVICES
        answer = b""
        if known and kind == TYPES["A"]:
            answer = struct.pack("!HHHIH4s", 0xC00C, 1, 1, TTL_S, 4, socket.inet_aton("127.0.0.1"))
        head = question[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, bool(answer), 0, 0)
        connection.sendto(head + question[12 : at + 5] + answer, self.client_address)


class Service(BaseHTTPRequestHandler):
    """A service: one short answer, on connections that are kept."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes: without this each waits for the other side's acknowledgement.
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        count("connections")

    def do_GET(self):
        count("requests")
        send(self, self.server.answer)

    def log_message(self, *_):
        pass


class Aggregator(BaseHTTPRequestHandler):
    """A page of what both services say, asked by way of Tentpole."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        send(self, page(through_tentpole))

    def log_message(self, *_):
        pass


def send(handler, body):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Cache-Control", "no-store")
    handler.end_headers()
    handler.wfile.write(body)


def page(ask):
    return b"".join(ask(name) for name in SERVICES)


def by_name(name):
    """As an application without a resolver of its own does it: looked up, connected and closed, each time."""
    connection = http.client.HTTPConnection(look_up(name), SERVICES[name], timeout=10)
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        return connection.getresponse().read()
    finally:
        connection.close()


def look_up(name):
    for candidate in [f"{name}.{domain}" for domain in SEARCH] + [name]:
        found = [address for kind in TYPES for address in ask_for(candidate, kind)]
        if found:
            return found[0]
    raise OSError(f"no address for {name}")


def ask_for(name, kind):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    question = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, TYPES[kind], 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(5)
        asking.sendto(question, NAME_SERVER)
        answer = asking.recv(512)
    return [socket.inet_ntoa(answer[-4:])] if struct.unpack("!H", answer[6:8])[0] else []


kept = threading.local()


def through_tentpole(name):
    """By way of Tentpole, on a connection that this thread keeps."""
    if not hasattr(kept, "connection"):
        kept.connection = http.client.HTTPConnection(*TENTPOLE, timeout=10)
    kept.connection.request("GET", "/", headers={"Host": name})
    return kept.connection.getresponse().read()


def start():
    servers = [socketserver.ThreadingUDPServer(NAME_SERVER, Names)]
    for name, port in SERVICES.items():
        service = ThreadingHTTPServer(("127.0.0.1", port), Service)
        service.answer = ANSWERS[name]
        servers.append(service)
    servers.append(ThreadingHTTPServer(AGGREGATOR, Aggregator))
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()


def cost(ask):
    """What PAGES pages cost: requests, connections and questions."""
    with lock:
        before = dict(counts)
    began = time.monotonic()
    for _ in range(PAGES):
        body = page(ask)
        if body != b"".join(ANSWERS.values()):
            sys.exit(f"a page is wrong: {body!r}")
    with lock:
        spent = {what: counts[what] - before[what] for what in counts}
    return spent, time.monotonic() - began


def wait_for(address):
    for _ in range(500):
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nobody listens at {address}")


def compare(tentpole):
    start()
    ways = [("by name, each time anew", cost(by_name))]
    with subprocess.Popen([tentpole, "up", os.path.join(HERE, "tentpole.toml")]) as up:
        try:
            wait_for(TENTPOLE)
            ways.append(("by way of Tentpole", cost(through_tentpole)))
            with urllib.request.urlopen("http://%s:%d/" % AGGREGATOR, timeout=10) as answer:
                if answer.read() != b"".join(ANSWERS.values()):
                    sys.exit("the aggregator's page is wrong")
        finally:
            up.terminate()
    print(f"{PAGES} pages of two services each:\n")
    print(f"{'':26}{'requests':>10}{'connections':>13}{'questions for names':>21}{'time':>9}")
    for way, (spent, took) in ways:
        figures = f"{spent['requests']:>10}{spent['connections']:>13}{spent['questions']:>21}"
        print(f"{way:26}{figures}{took:>8.2f}s")
    (before, _), (after, took) = ways[0][1], ways[1][1]
    if before["connections"] < before["requests"] or before["questions"] < before["requests"]:
        sys.exit("the first way is not as the story tells it")
    if after["connections"] > after["requests"] * 0.05:
        sys.exit("connections were not reused")
    if after["questions"] > len(SERVICES) * (took / TTL_S + 1):
        sys.exit("names were looked up too often")


def main():
    match sys.argv[1:]:
        case ["serve"]:
            start()
            print("name server 127.0.0.1:5390, services :9001 and :9002, aggregator http://127.0.0.1:9000; Ctrl-C ends them")
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                pass
        case ["try", tentpole]:
            compare(tentpole)
        case _:
            sys.exit(__doc__)


main()
