"""(pure) The key of encrypted model files, which no text ever shows."""

import hmac

KEY_LENGTHS = (16, 24, 32)
MODES = ("AES-GCM", "AES-CBC")


class DecryptionKey:
    """A key with its mode, kept in memory that can be wiped."""

    __slots__ = ("_key", "mode")

    def __init__(self, key: bytes | bytearray, mode: str = MODES[0]) -> None:
        """A bytearray becomes this key's own memory.

        Raises ValueError that names the length, or the modes there are; never what was given.
        """
        if len(key) not in KEY_LENGTHS:
            raise ValueError(f"a key of {len(key)} bytes, expected 16, 24 or 32")
        if mode not in MODES:
            raise ValueError(f"the mode of a key is {' or '.join(MODES)}")
        self._key = key if isinstance(key, bytearray) else bytearray(key)
        self.mode = mode

    def reveal(self) -> bytes:
        """The key itself: a copy that nobody can wipe."""
        return bytes(self._key)

    def is_same_as(self, other: "DecryptionKey") -> bool:
        """Whether both decrypt the same files."""
        return self.mode == other.mode and hmac.compare_digest(self.reveal(), other.reveal())

    def wipe(self) -> None:
        """Overwrite the key; it opens nothing any more."""
        self._key[:] = bytes(len(self._key))

    def __repr__(self) -> str:
        return f"DecryptionKey(***, {self.mode})"
