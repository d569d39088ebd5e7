"""The keys of encrypted models: which files hold them, and what they hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.decryption import KEY_LENGTHS, MODES, DecryptionKey
from shared.errors import LoadFailed


@dataclass(frozen=True, slots=True)
class KeyFile:
    """Where the key of one servable's models lies."""

    servable: str
    file: Path
    mode: str

    @classmethod
    def parse(cls, text: str) -> "KeyFile":
        """SERVABLE=FILE or SERVABLE=FILE:MODE, FILE with a slash, so that it is no key.

        Raises ValueError that does not repeat ``text``: it may be a key given by mistake.
        """
        servable, _, file = text.partition("=")
        mode = next((each for each in MODES if file.endswith(f":{each}")), "")
        file = file.removesuffix(f":{mode}")
        if not servable.isidentifier() or "/" not in file:
            raise ValueError(
                "expected SERVABLE=FILE or SERVABLE=FILE:AES-CBC, FILE being a path with a slash"
            )
        return cls(servable, Path(file), mode or MODES[0])

    def read(self) -> DecryptionKey:
        """The key; a line feed behind it is not part of it. Raises LoadFailed naming the file."""
        where = f"servable '{self.servable}': key file {self.file}"
        try:
            content = bytearray(self.file.read_bytes())
        except OSError as failure:
            raise LoadFailed(f"{where} cannot be read: {failure.strerror}") from None
        if len(content) - 1 in KEY_LENGTHS and content.endswith(b"\n"):
            del content[-1]
        try:
            return DecryptionKey(content, self.mode)
        except ValueError as failure:
            raise LoadFailed(f"{where} holds {failure}") from None


def read_keys(texts: Iterable[str]) -> Mapping[str, DecryptionKey]:
    """Keys by servable. Reads each file once, so that it may be a pipe: call it in a thread.

    Raises LoadFailed naming servable and file.
    """
    keys: dict[str, DecryptionKey] = {}
    for key_file in map(KeyFile.parse, texts):
        if key_file.servable in keys:
            raise LoadFailed(f"servable '{key_file.servable}' has two keys")
        keys[key_file.servable] = key_file.read()
    return keys
