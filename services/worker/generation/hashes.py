"""(pure) What a full block is known by: its tokens and all tokens before them.

The hash is a cryptographic one, so that no prompt can be made that is taken for another's,
and the same in every process, so that who routes by shared prefix may compute it too.
"""

from array import array
from collections.abc import Sequence
from hashlib import sha256


class BlockHashes:
    """The hashes of one text's full blocks, each made of the one before and the block's tokens."""

    __slots__ = ("_block_size", "_hashes", "_root")

    def __init__(self, block_size: int, *, adapter: int = 0, salt: str = "") -> None:
        self._block_size = block_size
        self._root = sha256(f"{adapter}:{salt}".encode()).digest()
        self._hashes: list[bytes] = []

    def of(self, tokens: Sequence[int]) -> list[bytes]:
        """One hash for each full block of a text that only ever grows; not to be changed."""
        size, hashes = self._block_size, self._hashes
        while (start := len(hashes) * size) + size <= len(tokens):
            parent = hashes[-1] if hashes else self._root
            block = array("i", tokens[start : start + size]).tobytes()
            hashes.append(sha256(parent + block).digest())
        return hashes
