"""RFC 9113 sections 6 and 7: each kind of frame, flow control, and codes of errors."""

import json

from case import *
from peer import *


# ---- Section 6: each frame.


@case("9113 6.1", "DATA on stream 0 is a connection error")
def data_on_connection(peer):
    peer.frame(DATA, END_STREAM, 0, b"?")
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.1", "padding of DATA is taken off")
def data_padded(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(DATA, END_STREAM | PADDED, stream, b"\x05hello" + bytes(5))
    same("the bytes", json.loads(peer.answer(stream)[2])["bytes"], 5)


@case("9113 6.1", "padding of DATA as long as the frame is a connection error")
def data_padding_too_long(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(DATA, END_STREAM | PADDED, stream, b"\x06hello")
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.9.1", "padding counts for flow control and is given back: 4 MiB of it pass")
def data_padding_is_given_back(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    window = {0: 65_535, stream: peer.settings.get(INITIAL_WINDOW_SIZE, 65_535)}
    for _ in range(4_096):
        while min(window.values()) < 1_026:
            got = peer.until(lambda one: one.kind == WINDOW_UPDATE, "WINDOW_UPDATE")
            if got.stream in window:
                window[got.stream] += int.from_bytes(got.payload, "big")
        # More content than padding, so that it is no flood.
        peer.frame(DATA, PADDED, stream, bytes([200]) + bytes(825 + 200))
        window = {one: left - 1_026 for one, left in window.items()}
    peer.frame(DATA, END_STREAM, stream)
    same("the bytes", json.loads(peer.answer(stream)[2])["bytes"], 4_096 * 825)


@case("9113 6.2", "HEADERS on stream 0 is a connection error")
def headers_on_connection(peer):
    peer.frame(HEADERS, END_STREAM | END_HEADERS, 0, peer.block(peer.fields()))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.2", "padding and priority of HEADERS are taken off")
def headers_padded(peer):
    stream = peer.stream()
    padded = b"\x04" + number(0) + b"\x10" + peer.block(peer.fields()) + bytes(4)
    peer.frame(HEADERS, END_STREAM | END_HEADERS | PADDED | PRIORITIZED, stream, padded)
    same("the status", peer.answer(stream)[0], 200)


@case("9113 6.2", "padding of HEADERS as long as the frame is a connection error")
def headers_padding_too_long(peer):
    block = peer.block(peer.fields())
    peer.frame(HEADERS, END_STREAM | END_HEADERS | PADDED, peer.stream(), bytes([len(block) + 1]) + block)
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.3", "PRIORITY on stream 0 is a connection error")
def priority_on_connection(peer):
    peer.frame(PRIORITY, 0, 0, number(0) + b"\x10")
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.3", "PRIORITY of another size than 5 is an error of frame size (of the connection, as section 5.4.1 allows)")
def priority_size(peer):
    stream = peer.begin(path="/slow")
    peer.frame(PRIORITY, 0, stream, number(0))
    peer.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.4", "RST_STREAM on stream 0 is a connection error")
def reset_on_connection(peer):
    peer.frame(RST_STREAM, 0, 0, number(CANCEL))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.4", "RST_STREAM of another size than 4 is a connection error")
def reset_size(peer):
    stream = peer.begin(path="/slow")
    peer.frame(RST_STREAM, 0, stream, b"\x00\x00\x08")
    peer.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.5", "SETTINGS with ACK and content is a connection error")
def settings_ack_with_content(peer):
    peer.frame(SETTINGS, ACK, 0, setting(ENABLE_PUSH, 0))
    peer.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.5", "SETTINGS on a stream is a connection error")
def settings_on_stream(peer):
    peer.frame(SETTINGS, 0, 1, setting(ENABLE_PUSH, 0))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.5", "SETTINGS of a size that is no multiple of 6 is a connection error")
def settings_size(peer):
    peer.frame(SETTINGS, 0, 0, b"\x00\x03\x00")
    peer.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.5.2", "SETTINGS_ENABLE_PUSH is 0 or 1")
def settings_push(peer):
    peer.frame(SETTINGS, 0, 0, setting(ENABLE_PUSH, 2))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.5.2", "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1 is FLOW_CONTROL_ERROR")
def settings_window_too_large(peer):
    peer.frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 1 << 31))
    peer.connection_error(FLOW_CONTROL_ERROR)


@case("9113 6.5.2", "SETTINGS_MAX_FRAME_SIZE below 16,384 is a connection error")
def settings_frame_too_small(peer):
    peer.frame(SETTINGS, 0, 0, setting(MAX_FRAME_SIZE, 16_383))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.5.2", "SETTINGS_MAX_FRAME_SIZE above 2^24-1 is a connection error")
def settings_frame_too_large(peer):
    peer.frame(SETTINGS, 0, 0, setting(MAX_FRAME_SIZE, 1 << 24))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.5.2", "a setting that nobody knows is ignored")
def settings_unknown(peer):
    peer.frame(SETTINGS, 0, 0, setting(0xFF, 1))
    peer.until(lambda one: one.kind == SETTINGS and one.flags & ACK, "the acknowledgement")
    peer.is_alive()


@case("9113 6.5.3", "SETTINGS are acknowledged, one by one")
def settings_acknowledged(peer):
    for _ in range(3):
        peer.frame(SETTINGS, 0, 0, setting(MAX_CONCURRENT_STREAMS, 100))
    for _ in range(4):  # and the first
        got = peer.until(lambda one: one.kind == SETTINGS and one.flags & ACK, "the acknowledgement")
        same("its content", got.payload, b"")


@case("9113 6.5.3", "of two values of one setting the last counts")
def settings_last_counts(peer):
    peer.frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 100) + setting(INITIAL_WINDOW_SIZE, 1))
    peer.until(lambda one: one.kind == SETTINGS and one.flags & ACK, "the acknowledgement")
    stream = peer.begin()
    same("the first piece", peer.until(lambda one: one.kind == DATA, "DATA").payload, b"h")
    peer.frame(RST_STREAM, 0, stream, number(CANCEL))


@case("9113 6.6", "a client sends no PUSH_PROMISE")
def push_promise(peer):
    stream = peer.begin(path="/slow")
    peer.frame(PUSH_PROMISE, END_HEADERS, stream, number(stream + 1) + peer.block(peer.fields()))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.7", "PING is answered with the same 8 bytes")
def ping(peer):
    peer.pings(b"12345678")


@case("9113 6.7", "PING with ACK that answers nothing is ignored, and not answered")
def ping_ack(peer):
    peer.frame(PING, ACK, 0, b"unwanted")
    peer.frame(PING, 0, 0, b"12345678")
    got = peer.until(lambda one: one.kind == PING, "the echo of a PING")
    same("the echo", got.payload, b"12345678")


@case("9113 6.7", "PING on a stream is a connection error")
def ping_on_stream(peer):
    peer.frame(PING, 0, 1, bytes(8))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.7", "PING of another size than 8 is a connection error")
def ping_size(peer):
    peer.frame(PING, 0, 0, bytes(6))
    peer.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.8", "GOAWAY on a stream is a connection error")
def goaway_on_stream(peer):
    peer.frame(GOAWAY, 0, 1, number(0) + number(NO_ERROR))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.8", "behind a client's GOAWAY what is under way is answered, and then the connection closed")
def goaway_lets_finish(peer):
    stream = peer.begin(path="/slow")
    peer.frame(GOAWAY, 0, 0, number(0) + number(NO_ERROR) + b"why not")
    same("the answer", peer.answer(stream)[::2], (200, b"slow"))
    while peer.next() is not None:
        pass


@case("9113 6.9", "WINDOW_UPDATE of 0 for the connection is a connection error")
def window_zero_connection(peer):
    peer.frame(WINDOW_UPDATE, 0, 0, number(0))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.9", "WINDOW_UPDATE of 0 for a stream is an error of it")
def window_zero_stream(peer):
    stream = peer.begin(path="/slow")
    peer.frame(WINDOW_UPDATE, 0, stream, number(0))
    peer.stream_error(stream, PROTOCOL_ERROR)


@case("9113 6.9", "WINDOW_UPDATE of another size than 4 is a connection error")
def window_size(peer):
    peer.frame(WINDOW_UPDATE, 0, 0, b"\x00\x00\x01")
    peer.connection_error(FRAME_SIZE_ERROR)


@case("9113 6.9.1", "content is no longer than the stream's window, and goes on when that grows", setting(INITIAL_WINDOW_SIZE, 1))
def window_of_one(peer):
    stream = peer.begin()
    content = b""
    while content != b"hello":
        got = peer.until(lambda one: one.kind == DATA, "DATA")
        same("a piece's length", len(got.payload), 1)
        content += got.payload
        peer.frame(WINDOW_UPDATE, 0, stream, number(1))


@case("9113 6.9.1", "all streams together get no more than the connection's window", setting(INITIAL_WINDOW_SIZE, 1 << 20))
def window_of_connection(peer):
    one, two = peer.begin(path="/bytes/60000"), peer.begin(path="/bytes/60000")
    came = 0
    while came < 65_535:
        came += len(peer.until(lambda got: got.kind == DATA, "DATA").payload)
    same("the bytes", came, 65_535)
    peer.frame(PING, 0, 0, b"a marker")
    got = peer.until(lambda got: got.kind in (PING, DATA) and got.payload != b"", "the echo of a PING")
    same("what comes then", got.kind, PING)
    peer.frame(WINDOW_UPDATE, 0, 0, number(100_000))
    while came < 120_000:
        came += len(peer.until(lambda got: got.kind == DATA and got.stream in (one, two), "DATA").payload)


@case("9113 6.9.1", "a connection's window above 2^31-1 is a connection error")
def window_overflow_connection(peer):
    peer.send(frame(WINDOW_UPDATE, 0, 0, number(2**31 - 1)) * 2)
    peer.connection_error(FLOW_CONTROL_ERROR)


@case("9113 6.9.1", "a stream's window above 2^31-1 is an error of the stream")
def window_overflow_stream(peer):
    stream = peer.begin(path="/slow")
    peer.send(frame(WINDOW_UPDATE, 0, stream, number(2**31 - 1)) * 2)
    peer.stream_error(stream, FLOW_CONTROL_ERROR)


@case("9113 6.9.1", "content beyond the window that we gave is FLOW_CONTROL_ERROR")
def window_violated(peer):
    # The origin waits for the whole, and takes 300 ms to say that it is there: what comes first is not read on.
    stream = peer.begin(fields=peer.fields("/slow", "POST", [("expect", "100-continue")]), ends=False)
    piece = frame(DATA, 0, stream, bytes(16_384))
    if peer.settings.get(INITIAL_WINDOW_SIZE, 65_535) < 65_535:
        raise Wrong("the server shrinks the window")
    # So fast and so much that no reader gives it all back meanwhile: the connection's window is 1 MiB at most.
    peer.send(piece * 1_024)
    kind, error = peer.outcome(stream)
    same("what came", (kind in ("stream", "connection"), error), (True, "FLOW_CONTROL_ERROR"))


@case("9113 6.9.2", "a change of SETTINGS_INITIAL_WINDOW_SIZE holds for streams that are open", setting(INITIAL_WINDOW_SIZE, 0))
def window_changed(peer):
    stream = peer.begin()
    peer.until(lambda one: one.kind == HEADERS, "HEADERS")
    peer.frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 1))
    same("the piece", peer.until(lambda one: one.kind == DATA and one.stream == stream, "DATA").payload, b"h")


@case("9113 6.9.2", "a window may become negative, and is opened from there", setting(INITIAL_WINDOW_SIZE, 3))
def window_negative(peer):
    stream = peer.begin()
    same("the piece", peer.until(lambda one: one.kind == DATA, "DATA").payload, b"hel")
    peer.frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 1))  # -2 now
    peer.until(lambda one: one.kind == SETTINGS and one.flags & ACK, "the acknowledgement")
    peer.frame(WINDOW_UPDATE, 0, stream, number(2))  # 0
    peer.frame(PING, 0, 0, b"a marker")
    same("what comes", peer.until(lambda one: one.kind in (DATA, PING), "the echo").kind, PING)
    peer.frame(WINDOW_UPDATE, 0, stream, number(1))
    same("the piece", peer.until(lambda one: one.kind == DATA, "DATA").payload, b"l")


@case("9113 6.9.2", "SETTINGS_INITIAL_WINDOW_SIZE that brings a stream's window above 2^31-1 is a connection error")
def window_overflow_by_settings(peer):
    stream = peer.begin(path="/slow")
    peer.frame(WINDOW_UPDATE, 0, stream, number(2**31 - 1 - 65_535))
    peer.frame(SETTINGS, 0, 0, setting(INITIAL_WINDOW_SIZE, 65_536))
    peer.connection_error(FLOW_CONTROL_ERROR)


@case("9113 6.10", "fields may come in many frames")
def continuation(peer):
    stream, block = peer.stream(), peer.block(peer.fields(more=[("x-long", "y" * 300)]))
    peer.frame(HEADERS, END_STREAM, stream, block[:10])
    for at in range(10, len(block), 100):
        peer.frame(CONTINUATION, 0, stream, block[at:at + 100])
    peer.frame(CONTINUATION, END_HEADERS, stream)
    same("the status", peer.answer(stream)[0], 200)


@case("9113 6.10", "CONTINUATION is followed by nothing else before the block ends")
def continuation_interrupted(peer):
    stream, block = peer.stream(), peer.block(peer.fields())
    peer.frame(HEADERS, END_STREAM, stream, block[:3])
    peer.frame(CONTINUATION, 0, stream, block[3:6])
    peer.frame(DATA, END_STREAM, stream, b"?")
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "CONTINUATION on stream 0 is a connection error")
def continuation_on_connection(peer):
    peer.frame(HEADERS, END_STREAM, peer.stream(), peer.block(peer.fields()))
    peer.frame(CONTINUATION, END_HEADERS, 0)
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "CONTINUATION of another stream is a connection error")
def continuation_of_another(peer):
    stream = peer.stream()
    peer.frame(HEADERS, END_STREAM, stream, peer.block(peer.fields()))
    peer.frame(CONTINUATION, END_HEADERS, stream + 2)
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "CONTINUATION behind the end of a block is a connection error")
def continuation_behind_end(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(CONTINUATION, END_HEADERS, stream, peer.block([("x-more", "1")]))
    peer.connection_error(PROTOCOL_ERROR)


@case("9113 6.10", "CONTINUATION behind DATA is a connection error")
def continuation_behind_data(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(DATA, 0, stream, b"x")
    peer.frame(CONTINUATION, END_HEADERS, stream, peer.block([("x-more", "1")]))
    peer.connection_error(PROTOCOL_ERROR)


# ---- Section 7: codes of errors.


@case("9113 7", "an unknown code in RST_STREAM is a reset like any other")
def code_unknown_reset(peer):
    stream = peer.begin(path="/slow")
    peer.frame(RST_STREAM, 0, stream, number(0xFFFF))
    peer.is_alive()


@case("9113 7", "an unknown code in GOAWAY is a farewell like any other")
def code_unknown_goaway(peer):
    peer.frame(GOAWAY, 0, 0, number(0) + number(0xFFFF))
    while peer.next() is not None:
        pass
