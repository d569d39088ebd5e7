"""What is said of model files that are encrypted, or that are not although there is a key."""

from pathlib import Path

from shared.decryption import DecryptionKey
from shared.errors import LoadFailed
from shared.membership import ModelFiles


def refuse_key(files: ModelFiles, key: DecryptionKey | None) -> None:
    """For formats that cannot be encrypted: raises LoadFailed when there is a key."""
    if key is not None:
        raise LoadFailed(
            f"model file '{Path(files.paths[0]).name}': a dec_key was given, but files of format"
            f" '{files.format}' cannot be encrypted"
        )


def check_encryption(path: Path, key: DecryptionKey | None, *, encrypted: bool) -> None:
    """Raises LoadFailed unless there is a key exactly when the file is encrypted."""
    where = f"model file '{path.name}'"
    if encrypted and key is None:
        raise LoadFailed(f"{where} is encrypted, and no dec_key was given for its servable")
    if key is not None and not encrypted:
        raise LoadFailed(f"{where} is not encrypted, but a dec_key was given for its servable")


def not_decrypted(path: Path, key: DecryptionKey) -> LoadFailed:
    """A key that does not fit the file; never says which."""
    return LoadFailed(
        f"model file '{path.name}' cannot be decrypted: dec_key or dec_mode ({key.mode}) is not the"
        " one it was exported with, or the file is damaged"
    )
