"""(pure) Header blocks, with a memory for those that repeat.

HPACK's meaning of a block depends on the dynamic table. While nothing is added to
that table the same bytes mean the same headers: clients that call one method
again and again send such blocks, and most of the cost of a small call is here.
"""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import hpack

Headers = Sequence[tuple[bytes, bytes]]
Parsed = TypeVar("Parsed")

_MAX_REMEMBERED = 256
_LONGEST_REMEMBERED = 512


class BadHeaders(Exception):
    """A header block that HPACK cannot read, or that is too large."""


class HeaderReader(Generic[Parsed]):
    """Reads header blocks of one connection, in their order, as what ``parse`` makes of them."""

    def __init__(
        self, parse: Callable[[Headers], Parsed], *, max_bytes: int, table_bytes: int = 4096
    ) -> None:
        self._parse = parse
        self._decoder = hpack.Decoder(max_header_list_size=max_bytes)
        self._decoder.max_allowed_table_size = table_bytes
        self._known: dict[bytes, Parsed] = {}

    def read(self, block: bytes) -> Parsed:
        """Raises BadHeaders; the connection is unusable then."""
        known = self._known.get(block)
        if known is not None:
            return known
        entries = self._decoder.header_table.dynamic_entries
        # Held on to, so that no later entry can be taken for it.
        newest = entries[0] if entries else None
        count, size = len(entries), self._decoder.header_table.maxsize
        try:
            headers = self._decoder.decode(block, raw=True)
        except hpack.HPACKError as failure:
            raise BadHeaders(type(failure).__name__) from failure
        parsed = self._parse([(bytes(name), bytes(value)) for name, value in headers])
        table = self._decoder.header_table
        if (
            len(table.dynamic_entries) != count
            or table.maxsize != size
            or (count and table.dynamic_entries[0] is not newest)
        ):
            self._known.clear()
        elif len(block) <= _LONGEST_REMEMBERED:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[block] = parsed
        return parsed


class HeaderWriter:
    """Writes header blocks that never touch the peer's dynamic table.

    So that a block, once written, may be sent again on any connection.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[tuple[bytes, bytes], ...], bytes] = {}

    def write(self, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
        """The block of ``headers``."""
        block = self._known.get(headers)
        if block is None:
            block = b"".join(_literal(name, value) for name, value in headers)
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[headers] = block
        return block


# RFC 7541, appendix A: what of the static table gRPC uses.
_STATIC_FIELDS = {
    (b":method", b"GET"): 2, (b":method", b"POST"): 3, (b":path", b"/"): 4,
    (b":scheme", b"http"): 6, (b":scheme", b"https"): 7, (b":status", b"200"): 8,
}  # fmt: skip
_STATIC_NAMES = {
    b":authority": 1, b":method": 2, b":path": 4, b":scheme": 6, b":status": 8,
    b"content-type": 31, b"user-agent": 58,
}  # fmt: skip


def _literal(name: bytes, value: bytes) -> bytes:
    """One field: indexed when the static table has it, else literal without indexing."""
    indexed = _STATIC_FIELDS.get((name, value))
    if indexed is not None:
        return bytes((0x80 | indexed,))
    index = _STATIC_NAMES.get(name)
    if index is not None:
        return _integer(index, 4, 0x00) + _text(value)
    return b"\x00" + _text(name) + _text(value)


def _text(value: bytes) -> bytes:
    return _integer(len(value), 7, 0x00) + value


def _integer(number: int, prefix_bits: int, flags: int) -> bytes:
    """RFC 7541, section 5.1."""
    most = (1 << prefix_bits) - 1
    if number < most:
        return bytes((flags | number,))
    number -= most
    encoded = bytearray((flags | most,))
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
