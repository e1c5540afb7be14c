"""A client of HTTP/2 that sends whatever it is told to, right or wrong, and says what came of it. Of its own but for the
header compression of what is right (hpack, from PyPI): it shares nothing with what it tests."""

import collections
import socket
import ssl
import struct

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 1, 1, 4, 8, 32
(
    NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
    REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM,
) = range(12)
ERRORS = (
    "NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR "
    "REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM"
).split()
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)
ENABLE_CONNECT_PROTOCOL = 8
# How long an answer may take on a machine that has much to do.
PATIENCE_SECONDS = 10

Frame = collections.namedtuple("Frame", "kind flags stream payload")


class Wrong(Exception):
    """What came is not what must come."""


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def setting(number, value):
    return struct.pack(">HI", number, value)


class Peer:
    """A connection whose preface and first SETTINGS were sent."""

    def __init__(self, address, context=None, settings=b"", greet=True):
        self.socket = socket.create_connection(address, PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
            if self.socket.selected_alpn_protocol() != "h2":
                raise Wrong(f"the handshake chose {self.socket.selected_alpn_protocol()}, not h2")
        self.scheme = "https" if context else "http"
        self.buffer = b""
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.settings = {}
        self.last = -1
        if greet:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings))
            while not self.settings:
                self.next()

    def close(self):
        self.socket.close()

    # ---- Sending.

    def send(self, data):
        """As much as the other side takes before it is gone."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            return False
        return True

    def frame(self, kind, flags, stream, payload=b""):
        return self.send(frame(kind, flags, stream, payload))

    def stream(self):
        """The number of a new stream."""
        self.last += 2
        return self.last

    def fields(self, path="/", method="GET", more=()):
        return [(":method", method), (":scheme", self.scheme), (":path", path), (":authority", "localhost"), *more]

    def block(self, fields):
        return self.encoder.encode(fields)

    def begin(self, fields=None, ends=True, **more):
        """A request's HEADERS; the stream."""
        stream = self.stream()
        block = self.block(fields if fields is not None else self.fields(**more))
        self.frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, block)
        return stream

    def block_as_is(self, block, ends=True):
        """A request whose block of fields is these bytes."""
        stream = self.stream()
        self.frame(HEADERS, END_HEADERS | (END_STREAM if ends else 0), stream, block)
        return stream

    # ---- Receiving.

    def bytes(self, count):
        while len(self.buffer) < count:
            try:
                piece = self.socket.recv(65536)
            except ssl.SSLEOFError:
                piece = b""
            if not piece:
                if self.buffer:
                    raise Wrong(f"the connection ended within a frame: {self.buffer[:40]!r}")
                return None
            self.buffer += piece
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def next(self):
        """The next frame; None at the end of the connection. Acknowledges SETTINGS and reads fields in passing."""
        head = self.bytes(9)
        if head is None:
            return None
        length = int.from_bytes(head[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        payload = self.bytes(length) if length else b""
        if payload is None:
            raise Wrong("the connection ended within a frame")
        if length > 16_384:
            raise Wrong(f"a frame of {length} bytes, and nobody allowed more than 16384")
        got = Frame(kind, flags, stream, payload)
        if kind == SETTINGS and not flags & ACK:
            self.settings = dict(struct.iter_unpack(">HI", payload)) or {0: 0}
            self.frame(SETTINGS, ACK, 0)
        if kind == HEADERS:
            # Whatever we test never sends more than one frame of fields to these requests.
            got = got._replace(payload=self.decoder.decode(payload, raw=True))
        return got

    def until(self, wanted, what):
        """The first frame of which `wanted` holds; others are passed over, but an end is an end."""
        while True:
            try:
                got = self.next()
            except socket.timeout:
                raise Wrong(f"{what} did not come within {PATIENCE_SECONDS} s") from None
            except ConnectionResetError:
                raise Wrong(f"the connection was reset before {what} came") from None
            if got is None:
                raise Wrong(f"the connection ended before {what} came")
            if wanted(got):
                return got
            if got.kind == GOAWAY:
                raise Wrong(f"GOAWAY {error_of(got)} came, not {what}")

    def answer(self, stream, gives_window=True):
        """Status, fields, content and trailers of the response on this stream."""
        status, fields, content, trailers = None, None, b"", None
        while True:
            got = self.until(lambda one: one.stream == stream and one.kind != WINDOW_UPDATE, f"the answer on stream {stream}")
            if got.kind == RST_STREAM:
                raise Wrong(f"RST_STREAM {error_of(got)} came, not the answer on stream {stream}")
            if got.kind == HEADERS and status is None:
                fields = {name.decode(): value.decode() for name, value in got.payload}
                if not fields[":status"].startswith("1"):
                    status = int(fields[":status"])
            elif got.kind == HEADERS:
                trailers = {name.decode(): value.decode() for name, value in got.payload}
            elif got.kind == DATA:
                content += got.payload
                if gives_window and got.payload:
                    more = struct.pack(">I", len(got.payload))
                    self.send(frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, stream, more))
            if got.flags & END_STREAM:
                return status, fields, content, trailers

    def pings(self, payload=b"are you?"):
        """The echo of a PING says that all before it was read."""
        self.frame(PING, 0, 0, payload)
        self.until(lambda one: one.kind == PING and one.flags & ACK and one.payload == payload, "the echo of a PING")

    # ---- What must come of it.

    def is_alive(self):
        """The connection goes on: another request is answered."""
        status, _, content, _ = self.answer(self.begin())
        if (status, content) != (200, b"hello"):
            raise Wrong(f"the next request was answered by {status} {content[:40]!r}")

    def outcome(self, stream):
        """What became of this stream: an answer's status, or an error of the stream or of the connection."""
        def tells(one):
            is_answer = one.kind == HEADERS and dict(one.payload)[b":status"][:1] != b"1"
            return one.kind == GOAWAY or one.stream == stream and (one.kind == RST_STREAM or is_answer)

        got = self.until(tells, f"what becomes of stream {stream}")
        if got.kind == HEADERS:
            return "answer", int(dict(got.payload)[b":status"])
        return ("connection" if got.kind == GOAWAY else "stream"), error_of(got)

    def connection_error(self, *codes):
        """RFC 9113 section 5.4.1: GOAWAY with the reason, and then the end, without a reset that could overtake it."""
        got = self.until(lambda one: one.kind == GOAWAY and code_of(one) != NO_ERROR, f"GOAWAY {names(codes)}")
        if code_of(got) not in codes:
            raise Wrong(f"GOAWAY {error_of(got)} came, not {names(codes)}")
        try:
            while self.next() is not None:
                pass
        except ConnectionResetError:
            raise Wrong("behind GOAWAY the connection was reset, which can overtake it") from None
        except socket.timeout:
            raise Wrong("behind GOAWAY the connection did not end") from None

    def stream_error(self, stream, *codes, or_status=()):
        """RFC 9113 section 5.4.2: RST_STREAM with the reason (or a response that says so, section 8.1.1), and the
        connection goes on."""
        def ends(one):
            is_answer = one.kind == HEADERS and dict(one.payload)[b":status"][:1] != b"1"
            return one.stream == stream and (one.kind == RST_STREAM or is_answer)

        got = self.until(ends, f"RST_STREAM {names(codes)} on stream {stream}")
        if got.kind == HEADERS and (status := int(dict(got.payload)[b":status"])) not in or_status:
            raise Wrong(f"the answer {status} came, not RST_STREAM {names(codes)}")
        if got.kind == RST_STREAM and code_of(got) not in codes:
            raise Wrong(f"RST_STREAM {error_of(got)} came, not {names(codes)}")
        self.is_alive()


def code_of(got):
    return struct.unpack(">I", got.payload[4:8] if got.kind == GOAWAY else got.payload)[0]


def error_of(got):
    code = code_of(got)
    return ERRORS[code] if code < len(ERRORS) else hex(code)


def names(codes):
    return " or ".join(ERRORS[code] for code in codes)
