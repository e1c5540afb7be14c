"""RFC 9113 sections 8 and 10.5, and RFC 8441: requests, floods, and WebSockets."""

import json

from case import *
from peer import *


# ---- Section 8: requests.


def fields_case(name, section, what, change):
    """A request whose fields are changed by `change`."""
    def run(peer):
        malformed(peer, peer.begin(fields=change(peer.fields())))

    run.__name__ = name
    case(section, what)(run)


def without(name):
    return lambda fields: [field for field in fields if field[0] != name]


def having(name, value):
    return lambda fields: [(one, value if one == name else of) for one, of in fields]


def with_more(*more):
    return lambda fields: [*fields, *more]


def with_twice(name):
    return lambda fields: [field for one in fields for field in ([one, one] if one[0] == name else [one])]


fields_case("field_uppercase", "9113 8.2.1", "a name in capitals is malformed", with_more(("X-Test", "1")))
fields_case("field_name_space", "9113 8.2.1", "a name with a space is malformed", with_more(("x test", "1")))
fields_case("field_name_colon", "9113 8.2.1", "a name with a colon is malformed", with_more(("x:test", "1")))
fields_case("field_value_newline", "9113 8.2.1", "a value with a line end is malformed", with_more(("x-test", "1\nx-more: 2")))
fields_case("field_value_return", "9113 8.2.1", "a value with a carriage return is malformed", with_more(("x-test", "1\r2")))
fields_case("field_value_zero", "9113 8.2.1", "a value with a zero byte is malformed", with_more(("x-test", "1\x002")))
fields_case("field_value_space", "9113 8.2.1", "a value that begins with a space is malformed", with_more(("x-test", " 1")))
for hop in ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"):
    value = {"transfer-encoding": "chunked", "upgrade": "h2c"}.get(hop, "close")
    fields_case(f"field_{hop}", "9113 8.2.2", f"{hop} is malformed", with_more((hop, value)))
fields_case("field_te", "9113 8.2.2", "te with anything but trailers is malformed", with_more(("te", "trailers, deflate")))
fields_case("pseudo_unknown", "9113 8.3", "a pseudo-header that nobody knows is malformed", with_more((":test", "1")))
fields_case("pseudo_of_response", "9113 8.3", "a response's pseudo-header is malformed", with_more((":status", "200")))
fields_case("pseudo_late", "9113 8.3", "a pseudo-header behind a field is malformed", lambda fields: [*fields[:2], ("x-test", "1"), *fields[2:]])
fields_case("pseudo_path_empty", "9113 8.3.1", "an empty :path is malformed", having(":path", ""))
fields_case("pseudo_path_relative", "9113 8.3.1", "a :path that does not begin with a slash is malformed", having(":path", "hello"))
for needed in (":method", ":scheme", ":path"):
    fields_case(f"pseudo_no{needed}".replace(":", "_"), "9113 8.3.1", f"a request without {needed} is malformed", without(needed))
for once in (":method", ":scheme", ":path", ":authority"):
    fields_case(f"pseudo_twice{once}".replace(":", "_"), "9113 8.3.1", f"two of {once} are malformed", with_twice(once))
fields_case("pseudo_host_differs", "9113 8.3.1", "a Host that differs from :authority is malformed", with_more(("host", "else.test")))
fields_case("pseudo_userinfo", "9113 8.3.1", "an :authority with userinfo is malformed", having(":authority", "me@localhost"))


@case("9113 8.2.2", "te: trailers is fine")
def field_te_trailers(peer):
    same("the status", peer.answer(peer.begin(more=[("te", "trailers")]))[0], 200)


@case("9113 8.2.3", "pieces of a cookie become one field")
def cookie_crumbs(peer):
    stream = peer.begin(path="/fields", more=[("cookie", "a=1"), ("cookie", "b=2")])
    fields = json.loads(peer.answer(stream)[2])
    same("the cookie", [value for name, value in fields if name.lower() == "cookie"], ["a=1; b=2"])


@case("9113 8.3.1", "CONNECT without a protocol is refused: this is no forward proxy")
def connect(peer):
    stream = peer.begin(fields=[(":method", "CONNECT"), (":authority", "localhost:443")])
    peer.stream_error(stream, PROTOCOL_ERROR, REFUSED_STREAM, or_status=(400, 405, 501))


@case("9113 8.3.1", "OPTIONS asks for the server as a whole by a :path of *")
def options_of_all(peer):
    status = peer.answer(peer.begin(method="OPTIONS", path="*"))[0]
    if status >= 500:
        raise Wrong(f"it was answered by {status}")


@case("9113 8.1", "a second HEADERS that does not end the stream is malformed")
def headers_twice(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(HEADERS, END_HEADERS, stream, peer.block([("x-late", "1")]))
    kind, error = peer.outcome(stream)
    if (kind, error) != ("answer", 400) and error != "PROTOCOL_ERROR":
        raise Wrong(f"{kind} {error} came")


@case("9113 8.1", "a pseudo-header among the trailers is malformed")
def trailers_pseudo(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(DATA, 0, stream, b"x")
    peer.frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block([(":path", "/else")]))
    malformed(peer, stream)


@case("9113 8.1", "trailers of a request reach the endpoint")
def trailers_of_request(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    peer.frame(DATA, 0, stream, b"12345")
    peer.frame(HEADERS, END_STREAM | END_HEADERS, stream, peer.block([("x-sum", "five")]))
    said = json.loads(peer.answer(stream)[2])
    same("what came", (said["bytes"], said["trailers"].get("x-sum")), (5, "five"))


@case("9113 8.1", "trailers of a response come behind its content and end the stream")
def trailers_of_response(peer):
    status, _, content, trailers = peer.answer(peer.begin(path="/trailers", more=[("te", "trailers")]))
    same("what came", (status, content, trailers), (200, b"hello", {"x-sum": "five"}))


@case("9113 8.1.1", "a body shorter than Content-Length is malformed")
def length_short(peer):
    stream = peer.begin(method="POST", path="/post", more=[("content-length", "5")], ends=False)
    peer.frame(DATA, END_STREAM, stream, b"four")
    malformed(peer, stream)


@case("9113 8.1.1", "a body longer than Content-Length is malformed")
def length_long(peer):
    stream = peer.begin(method="POST", path="/post", more=[("content-length", "3")], ends=False)
    peer.frame(DATA, END_STREAM, stream, b"four")
    malformed(peer, stream)


@case("9113 8.1.1", "a Content-Length without content is malformed")
def length_without_content(peer):
    malformed(peer, peer.begin(method="POST", path="/post", more=[("content-length", "3")]))


@case("9113 8.1.1", "a Content-Length that is no number is malformed")
def length_no_number(peer):
    stream = peer.begin(method="POST", path="/post", more=[("content-length", "+4")], ends=False)
    peer.frame(DATA, END_STREAM, stream, b"four")
    malformed(peer, stream)


@case("9113 8.1", "a body may come in many frames, the last one empty")
def data_empty_at_end(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    for piece in (b"1", b"", b"2345"):
        peer.frame(DATA, 0, stream, piece)
    peer.frame(DATA, END_STREAM, stream)
    said = json.loads(peer.answer(stream)[2])
    same("what came", (said["bytes"], said["length"]), (5, None))


@case("9110 9.3.2", "the answer to HEAD has fields and no content")
def head(peer):
    status, fields, content, _ = peer.answer(peer.begin(method="HEAD"))
    same("what came", (status, fields.get("content-length"), content), (200, "5", b""))


@case("9113 8.2.2", "a response has no field of one connection, and its names are in small letters")
def response_fields(peer):
    _, fields, _, _ = peer.answer(peer.begin())
    bad = [name for name in fields if name != name.lower() or name in ("connection", "keep-alive", "transfer-encoding", "upgrade")]
    same("those", bad, [])


@case("9113 8.7", "what was refused by REFUSED_STREAM had no effect")
def refused_had_no_effect(peer):
    from origin import Origin

    most = peer.settings[MAX_CONCURRENT_STREAMS]
    for _ in range(most):
        peer.begin(method="POST", path="/post", ends=False)
    stream = peer.begin(path="/never")
    peer.until(lambda one: one.kind == RST_STREAM and one.stream == stream and code_of(one) == REFUSED_STREAM, "REFUSED_STREAM")
    same("it reached the endpoint", "/never" in Origin.asked, False)


# ---- RFC 8441: WebSockets.


@case("8441 3", "SETTINGS_ENABLE_CONNECT_PROTOCOL is announced")
def websocket_announced(peer):
    same("the setting", peer.settings.get(ENABLE_CONNECT_PROTOCOL), 1)


@case("8441 4", ":protocol without CONNECT is malformed")
def websocket_without_connect(peer):
    malformed(peer, peer.begin(fields=[*peer.fields(), (":protocol", "websocket")]))


# ---- Floods: RFC 9113 section 10.5. The reason is to be read, not lost in a reset.


def flood(peer, piece, count):
    """All of it is sent, whatever comes back meanwhile, so that a reset would show."""
    for _ in range(count // 50):
        if not peer.send(b"".join(piece() for _ in range(50))):
            raise Wrong("the connection was reset while it was flooded, which can overtake what was said")
    peer.connection_error(ENHANCE_YOUR_CALM)


@case("9113 10.5", "a flood of PINGs is told to calm down")
def flood_ping(peer):
    flood(peer, lambda: frame(PING, 0, 0, bytes(8)), 4_000)


@case("9113 10.5", "a flood of SETTINGS is told to calm down")
def flood_settings(peer):
    flood(peer, lambda: frame(SETTINGS, 0, 0), 4_000)


@case("9113 10.5", "a flood of PRIORITY is told to calm down")
def flood_priority(peer):
    flood(peer, lambda: frame(PRIORITY, 0, 1, number(0) + b"\x10"), 4_000)


@case("9113 10.5", "a flood of WINDOW_UPDATEs is told to calm down")
def flood_window(peer):
    flood(peer, lambda: frame(WINDOW_UPDATE, 0, 0, number(1)), 4_000)


@case("9113 10.5", "a flood of frames of an unknown kind is told to calm down")
def flood_unknown(peer):
    flood(peer, lambda: frame(0x16, 0, 0), 4_000)


@case("9113 10.5", "a flood of empty DATA is told to calm down")
def flood_empty_data(peer):
    stream = peer.begin(method="POST", path="/post", ends=False)
    flood(peer, lambda: frame(DATA, 0, stream), 4_000)


@case("9113 10.5", "a flood of CONTINUATION is told to calm down")
def flood_continuation(peer):
    stream = peer.stream()
    peer.frame(HEADERS, END_STREAM, stream, peer.block(peer.fields()))
    flood(peer, lambda: frame(CONTINUATION, 0, stream), 4_000)


@case("9113 10.5", "requests taken back as soon as they are sent (CVE-2023-44487) are told to calm down")
def flood_reset(peer):
    def both():
        stream = peer.stream()
        block = frame(HEADERS, END_HEADERS | END_STREAM, stream, peer.block(peer.fields()))
        return block + frame(RST_STREAM, 0, stream, number(CANCEL))

    flood(peer, both, 4_000)


@case("9113 10.5", "requests that make us take them back (CVE-2025-8671) are told to calm down")
def flood_made_to_reset(peer):
    def both():
        stream = peer.stream()
        block = frame(HEADERS, END_HEADERS | END_STREAM, stream, peer.block(peer.fields("/slow")))
        return block + frame(WINDOW_UPDATE, 0, stream, number(2**31 - 1))

    flood(peer, both, 4_000)
