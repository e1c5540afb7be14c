"""Cases by their sections, in order. Where a standard leaves a choice, what Tentpole chose is expected, and the choice is said."""

import struct

from peer import *

CASES = []



def case(section, what, settings=b"", greet=True):
    """A case gets a connection; `settings` are the client's first."""
    def add(function):
        CASES.append((function.__name__.replace("_", "-"), section, what, settings, greet, function))
        return function
    return add


def number(value):
    return struct.pack(">I", value)


def same(what, found, wanted):
    if found != wanted:
        raise Wrong(f"{what} is {found!r}, not {wanted!r}")


def malformed(peer, stream):
    """RFC 9113 section 8.1.1: an error of the stream, before which a server may answer. Where the codec leaves it to us,
    Tentpole answers 400."""
    peer.stream_error(stream, PROTOCOL_ERROR, or_status=(400,))
