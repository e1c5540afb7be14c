"""RFC 9113 sections 3 to 5: how a connection begins, frames, and the states of streams."""

import json

from case import *
from peer import *


# ---- RFC 9113 section 3: how it begins.


@case("9113 3.4", "the server's first frame is SETTINGS, also before the client has said anything but the preface", greet=False)
def preface_is_settings(peer):
    peer.send(PREFACE + frame(SETTINGS, 0, 0))
    same("the first frame", peer.next().kind, SETTINGS)


@case("9113 3.4", "requests may follow the preface at once", greet=False)
def preface_then_request(peer):
    request = frame(HEADERS, END_HEADERS | END_STREAM, 1, peer.block(peer.fields()))
    peer.send(PREFACE + frame(SETTINGS, 0, 0) + request)
    same("the status", peer.answer(1)[0], 200)


@case("9113 3.4", "a preface whose first frame is not SETTINGS is a connection error", greet=False)
def preface_without_settings(peer):
    peer.send(PREFACE + frame(PING, 0, 0, bytes(8)))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 3.4", "a preface that is none ends the connection", greet=False)
def preface_invalid(peer):
    peer.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + frame(SETTINGS, 0, 0))
    try:
        while peer.socket.recv(4096):
            pass
    except ConnectionResetError:
        pass


# ---- Section 4: frames.


@case("9113 4.1", "a frame of an unknown kind is ignored")
def frame_unknown(peer):
    peer.frame(0x16, 0, 0, b"whatever")
    peer.frame(0x16, 0xFF, 1, b"")
    peer.is_alive()


@case("9113 4.1", "flags that a frame does not have are ignored")
def frame_flags_unknown(peer):
    peer.frame(PING, 0x16, 0, b"12345678")
    peer.until(lambda one: one.kind == PING and one.payload == b"12345678", "the echo of a PING")


@case("9113 4.1", "the reserved bit of a stream's number is ignored")
def frame_reserved_bit(peer):
    peer.frame(PING, 0, 0x80000000, b"12345678")
    peer.until(lambda one: one.kind == PING and one.payload == b"12345678", "the echo of a PING")


@case("9113 4.2", "a frame of 16,384 bytes is taken")
def frame_largest(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(DATA, END_STREAM, stream, bytes(16_384))
    same("the bytes", json.loads(peer.answer(stream)[2])["bytes"], 16_384)


@case("9113 4.2", "DATA larger than SETTINGS_MAX_FRAME_SIZE is an error of frame size")
def frame_data_too_large(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(DATA, END_STREAM, stream, bytes(16_385))
    peer.connection_error(FRAME_SIZE_ERROR)


@case("9113 4.2", "HEADERS larger than SETTINGS_MAX_FRAME_SIZE is a connection error")
def frame_headers_too_large(peer):
    peer.frame(HEADERS, END_HEADERS | END_STREAM, peer.stream(), peer.block(peer.fields()).ljust(16_385, b"\x00"))
    peer.connection_error(FRAME_SIZE_ERROR)


@case("9113 4.3", "a block of fields that cannot be decompressed is a connection error")
def block_invalid(peer):
    # A literal with a name of 127 bytes and more that do not come.
    peer.block_as_is(b"\x00\x7f\xff\xff\xff")
    peer.connection_error(COMPRESSION_ERROR)


@case("9113 4.3", "a block of fields ends before another stream's begins")
def block_interleaved(peer):
    one, two = peer.stream(), peer.stream()
    block = peer.block(peer.fields())
    peer.frame(HEADERS, END_STREAM, one, block)
    peer.frame(HEADERS, END_STREAM | END_HEADERS, two, block)
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 4.3", "no PRIORITY within a block of fields")
def block_priority_within(peer):
    stream = peer.stream()
    peer.frame(HEADERS, END_STREAM, stream, peer.block(peer.fields()))
    peer.frame(PRIORITY, 0, stream, number(0) + b"\x10")
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 5.5", "a frame of an unknown kind within a block of fields is a connection error")
def block_unknown_within(peer):
    stream = peer.stream()
    peer.frame(HEADERS, END_STREAM, stream, peer.block(peer.fields()))
    peer.frame(0x16, 0, stream, b"?")
    peer.connection_error(PROTOCOL_ERROR)


# ---- Section 5: streams.


@case("9113 5.1", "idle: DATA is a connection error")
def idle_data(peer):
    peer.frame(DATA, END_STREAM, 1, b"?")
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 5.1", "idle: RST_STREAM is a connection error")
def idle_reset(peer):
    peer.frame(RST_STREAM, 0, 1, number(CANCEL))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 5.1", "idle: WINDOW_UPDATE is a connection error")
def idle_window(peer):
    peer.frame(WINDOW_UPDATE, 0, 1, number(100))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 5.1", "idle: CONTINUATION is a connection error")
def idle_continuation(peer):
    peer.frame(CONTINUATION, END_HEADERS, 1, peer.block(peer.fields()))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 5.1", "idle: PRIORITY is fine")
def idle_priority(peer):
    peer.frame(PRIORITY, 0, 7, number(0) + b"\x10")
    peer.is_alive()


@case("9113 5.1", "half closed: DATA is STREAM_CLOSED")
def half_closed_data(peer):
    stream = peer.begin(path="/slow")
    peer.frame(DATA, END_STREAM, stream, b"?")
    peer.connection_error(STREAM_CLOSED)


@case("9113 5.1", "half closed: HEADERS is STREAM_CLOSED (or, as they could be trailers, PROTOCOL_ERROR)")
def half_closed_headers(peer):
    stream = peer.begin(path="/slow")
    peer.frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block(peer.fields()))
    kind, error = peer.outcome(stream)
    if kind == "answer" or error not in ("STREAM_CLOSED", "PROTOCOL_ERROR"):
        raise Wrong(f"{kind} {error} came")


@case("9113 5.1", "half closed: CONTINUATION is a connection error")
def half_closed_continuation(peer):
    stream = peer.begin(path="/slow")
    peer.frame(CONTINUATION, END_HEADERS, stream, peer.block(peer.fields()))
    peer.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@case("9113 5.1", "half closed: WINDOW_UPDATE, PRIORITY and RST_STREAM are fine")
def half_closed_others(peer):
    stream = peer.begin(path="/slow")
    peer.frame(WINDOW_UPDATE, 0, stream, number(1))
    peer.frame(PRIORITY, 0, stream, number(0) + b"\x10")
    same("the answer", peer.answer(stream)[::2], (200, b"slow"))
    stream = peer.begin(path="/slow")
    peer.frame(RST_STREAM, 0, stream, number(CANCEL))
    peer.is_alive()


@case("9113 5.1", "closed by a reset: DATA is STREAM_CLOSED, or ignored")
def reset_data(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(RST_STREAM, 0, stream, number(CANCEL))
    peer.frame(DATA, END_STREAM, stream, b"?")
    peer.frame(PING, 0, 0, b"a marker")
    got = peer.until(lambda one: one.kind in (RST_STREAM, GOAWAY, PING), "what becomes of it")
    if got.kind != PING and code_of(got) != STREAM_CLOSED:
        raise Wrong(f"{error_of(got)} came")


@case("9113 5.1", "closed by a reset: HEADERS is an error")
def reset_headers(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(RST_STREAM, 0, stream, number(CANCEL))
    peer.frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block(peer.fields()))
    peer.frame(PING, 0, 0, b"a marker")
    got = peer.until(lambda one: one.kind in (RST_STREAM, GOAWAY, PING), "what becomes of it")
    if got.kind == PING or code_of(got) not in (STREAM_CLOSED, PROTOCOL_ERROR):
        raise Wrong("nothing came" if got.kind == PING else f"{error_of(got)} came")


@case("9113 5.1", "closed by a reset: CONTINUATION is a connection error")
def reset_continuation(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(RST_STREAM, 0, stream, number(CANCEL))
    peer.frame(CONTINUATION, END_HEADERS, stream, peer.block(peer.fields()))
    peer.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@case("9113 5.1", "closed by its end: DATA is STREAM_CLOSED")
def ended_data(peer):
    stream = peer.begin()
    peer.answer(stream)
    peer.frame(DATA, END_STREAM, stream, b"?")
    kind, error = peer.outcome(stream)
    same("what came", (kind in ("stream", "connection"), error), (True, "STREAM_CLOSED"))


@case("9113 5.1", "closed by its end: HEADERS is a connection error")
def ended_headers(peer):
    stream = peer.begin()
    peer.answer(stream)
    peer.frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block(peer.fields()))
    peer.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@case("9113 5.1", "closed by its end: CONTINUATION is a connection error")
def ended_continuation(peer):
    stream = peer.begin()
    peer.answer(stream)
    peer.frame(CONTINUATION, END_HEADERS, stream, peer.block(peer.fields()))
    peer.connection_error(STREAM_CLOSED, PROTOCOL_ERROR)


@case("9113 5.1", "closed by its end: WINDOW_UPDATE, RST_STREAM and PRIORITY are ignored for a while")
def ended_others(peer):
    stream = peer.begin()
    peer.answer(stream)
    peer.frame(WINDOW_UPDATE, 0, stream, number(1))
    peer.frame(RST_STREAM, 0, stream, number(CANCEL))
    peer.frame(PRIORITY, 0, stream, number(0) + b"\x10")
    peer.is_alive()


@case("9113 5.1.1", "a stream of an even number is a connection error")
def number_even(peer):
    peer.frame(HEADERS, END_STREAM | END_HEADERS, 2, peer.block(peer.fields()))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 5.1.1", "a stream of a lower number than one before is a connection error")
def number_lower(peer):
    peer.frame(HEADERS, END_STREAM | END_HEADERS, 5, peer.block(peer.fields()))
    peer.frame(HEADERS, END_STREAM | END_HEADERS, 3, peer.block(peer.fields()))
    peer.connection_error(PROTOCOL_ERROR, STREAM_CLOSED)


@case("9113 5.1.2", "one stream more than SETTINGS_MAX_CONCURRENT_STREAMS is refused, and the others are served")
def too_many_streams(peer):
    most = peer.settings[MAX_CONCURRENT_STREAMS]
    streams = [peer.begin(method="POST", path="/post", ends=False) for _ in range(most + 1)]
    peer.until(lambda one: one.kind == RST_STREAM and one.stream == streams[-1] and code_of(one) == REFUSED_STREAM, "REFUSED_STREAM")
    for stream in streams[:3]:
        peer.frame(DATA, END_STREAM, stream, b"x")
        same("the status", peer.answer(stream)[0], 200)


@case("9113 5.3.2", "priorities are read and not followed: a stream that depends on itself harms at most itself")
def depends_on_itself(peer):
    stream = peer.stream()
    peer.frame(HEADERS, END_STREAM | END_HEADERS | PRIORITIZED, stream, number(stream) + b"\x10" + peer.block(peer.fields()))
    kind, error = peer.outcome(stream)
    if (kind, error) != ("answer", 200) and error != "PROTOCOL_ERROR":
        raise Wrong(f"{kind} {error} came")


@case("9113 5.4.1", "a connection error is told, and the connection closed without a reset")
def error_closes(peer):
    peer.frame(PING, 0, 0, b"123456")
    # What is still on its way must not reset it.
    for _ in range(20):
        peer.frame(PING, 0, 0, b"12345678")
    peer.connection_error(FRAME_SIZE_ERROR)
