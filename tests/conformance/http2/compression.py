"""RFC 7541: compression of fields."""

import json

from case import *
from peer import *


# ---- RFC 7541: compression of fields.


def block_error(peer, block):
    peer.block_as_is(block)
    peer.connection_error(COMPRESSION_ERROR)


@case("7541 6.1", "index 0 is an error")
def hpack_index_zero(peer):
    block_error(peer, b"\x80")


@case("7541 2.3.3", "an index beyond both tables is an error")
def hpack_index_too_large(peer):
    block_error(peer, b"\xff\x80\x01")


@case("7541 2.3.3", "a name's index beyond both tables is an error")
def hpack_name_index_too_large(peer):
    block_error(peer, b"\x7f\x80\x01\x01x")


@case("7541 5.1", "an integer that never ends is an error")
def hpack_integer_too_large(peer):
    block_error(peer, b"\xff" + b"\xff" * 12 + b"\x7f")


@case("7541 5.2", "a string longer than its block is an error")
def hpack_string_too_long(peer):
    block_error(peer, b"\x00\x01x\x7fvalue")


@case("7541 5.2", "padding of a Huffman string of more than 7 bits is an error")
def hpack_padding_too_long(peer):
    block_error(peer, peer.block(peer.fields()) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")


@case("7541 5.2", "padding of a Huffman string that is not of ones is an error")
def hpack_padding_zeros(peer):
    block_error(peer, peer.block(peer.fields()) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")


@case("7541 5.2", "the end symbol within a Huffman string is an error")
def hpack_end_symbol(peer):
    block_error(peer, peer.block(peer.fields()) + b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f")


@case("7541 4.2", "a change of the table's size stands at the beginning of a block")
def hpack_size_late(peer):
    block_error(peer, peer.block(peer.fields()) + b"\x21")


@case("7541 6.3", "a table larger than SETTINGS_HEADER_TABLE_SIZE is an error")
def hpack_size_too_large(peer):
    block_error(peer, b"\x3f\xe2\xff\x03" + peer.block(peer.fields()))


@case("7541 6.3", "a table of size 0 is fine, and one that grows again too")
def hpack_size_zero(peer):
    for size in (0, 4_096):
        peer.encoder.header_table_size = size
        peer.is_alive()
        peer.is_alive()


@case("7541 2.2", "what one request put into the table the next may use")
def hpack_table_is_kept(peer):
    for _ in range(2):
        stream = peer.begin(path="/fields", more=[("x-kept", "a value that is worth it")])
        fields = dict(json.loads(peer.answer(stream)[2]))
        same("the field", {name.lower(): value for name, value in fields.items()}.get("x-kept"), "a value that is worth it")


@case("7541 6.2", "literals of each kind are read: with, without and never with an entry, plain and by Huffman")
def hpack_literals(peer):
    block = peer.block(peer.fields("/fields"))
    block += b"\x40\x05x-one\x011" + b"\x00\x05x-two\x012" + b"\x10\x07x-three\x013" + b"\x00\x84\xf2\xb0\xfc\x7f\x014"
    status, _, content, _ = peer.answer(peer.block_as_is(block))
    same("the status", status, 200)
    fields = {name.lower(): value for name, value in json.loads(content)}
    same("the fields", [fields.get(name) for name in ("x-one", "x-two", "x-three")], ["1", "2", "3"])


@case("7541 4.2", "the server's own table keeps to what the client allows", setting(HEADER_TABLE_SIZE, 0))
def hpack_our_table(peer):
    peer.decoder.max_allowed_table_size = 0
    for _ in range(3):
        peer.is_alive()
