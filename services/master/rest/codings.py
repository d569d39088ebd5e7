"""(pure) Content codings: gzip of bodies that come, and of answers where a client takes it."""

import zlib

from services.master.rest.statuses import TooLarge, UnknownCoding
from shared.errors import InvalidRequest

_GZIP = 16 + zlib.MAX_WBITS
_PIECE_BYTES = 1 << 20
# Of nine: numbers as text shrink to a third, and the next levels take twice the time.
_LEVEL = 1


def is_gzip(coding: bytes) -> bool:
    """Whether a request's content-encoding is gzip, not none; raises UnknownCoding."""
    name = coding.strip().lower()
    if name in (b"", b"identity"):
        return False
    if name in (b"gzip", b"x-gzip"):
        return True
    text = coding[:60].decode("latin-1")
    raise UnknownCoding(f"content-encoding: expected gzip or none, got '{text}'")


def inflate(body: bytes | bytearray, max_bytes: int) -> bytes:
    """What was compressed; never more of it than allowed is held.

    Raises TooLarge, or InvalidRequest when it is no gzip.
    """
    decompressor = zlib.decompressobj(_GZIP)
    found = bytearray()
    rest: bytes | bytearray = body
    try:
        while rest:
            found += decompressor.decompress(rest, _PIECE_BYTES)
            if len(found) > max_bytes:
                raise TooLarge(
                    f"http message is bigger than {max_bytes} when inflated, the limit in bytes"
                )
            rest = decompressor.unconsumed_tail
            if decompressor.eof and not rest and decompressor.unused_data:
                # Another member follows (RFC 1952, 2.2).
                rest = decompressor.unused_data
                decompressor = zlib.decompressobj(_GZIP)
    except zlib.error:
        raise InvalidRequest("the body is no gzip, which content-encoding says it is") from None
    if not decompressor.eof:
        raise InvalidRequest("the body ends before its gzip does")
    return bytes(found)


def deflate(body: bytes) -> bytes:
    """As gzip."""
    compressor = zlib.compressobj(_LEVEL, wbits=_GZIP)
    return compressor.compress(body) + compressor.flush()


def takes_gzip(accepted: bytes) -> bool:
    """Whether accept-encoding asks for gzip (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for each in accepted.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        weights[name] = _weight(parameters)
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _weight(parameters: list[str]) -> float:
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
