"""What ``start_servables`` is told, checked in the original's words."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindspore_serving.server.front import check_text
from shared.decryption import KEY_LENGTHS, MODES, DecryptionKey

_DEVICE_TYPES = ("ascend", "gpu", "cpu", "none")
_MAX_PARALLEL_WORKERS = 64


class ServableStartConfig:
    """A servable to start, and on which devices.

    servable_directory: folder that holds the servable's folder; a relative one is taken from
    the folder of the started script.
    device_ids: an int, a tuple or list of ints, or None; each gets an agent.
    version_number: 0 means the newest.
    device_type: "Ascend", "GPU", "CPU" (case ignored) or None, which means CPU.
    dec_key, dec_mode: the key, 16, 24 or 32 bytes, with which the model files were exported, and
    "AES-GCM" or "AES-CBC". None: they are not encrypted.
    num_parallel_workers: processes for the Python stages when more than one; and agents to
    start when there are no device_ids.
    Raises RuntimeError for arguments that cannot be used.
    """

    def __init__(
        self,
        servable_directory: str,
        servable_name: str,
        device_ids: int | Sequence[int] | None = None,
        version_number: int = 0,
        device_type: str | None = None,
        num_parallel_workers: int = 0,
        dec_key: bytes | None = None,
        dec_mode: str = "AES-GCM",
    ) -> None:
        check_text("servable_directory", servable_directory)
        check_text("servable_name", servable_name)
        _check_int("version_number", version_number)
        if version_number < 0:
            raise RuntimeError("Parameter 'version_number' should be >= 0")
        _check_int("num_parallel_workers", num_parallel_workers)
        if not 0 <= num_parallel_workers <= _MAX_PARALLEL_WORKERS:
            raise RuntimeError(
                "Parameter 'num_parallel_workers' should be in range"
                f" [0,{_MAX_PARALLEL_WORKERS}], but actually {num_parallel_workers}"
            )
        self.decryption_key = decryption_key(dec_key, dec_mode)
        self.servable_directory = str(script_folder() / servable_directory)
        self.servable_name = servable_name
        self.device_ids = _device_ids(device_ids)
        self.version_number = version_number
        self.device_type = _device_type(device_type)
        self.dec_mode = dec_mode
        self.num_parallel_workers = num_parallel_workers or int(not self.device_ids)
        self.stage_processes = num_parallel_workers if num_parallel_workers > 1 else 0

    @property
    def dec_key(self) -> bytes | None:
        """The key as it was given."""
        return None if self.decryption_key is None else self.decryption_key.reveal()


def script_folder() -> Path:
    """Folder of the script that was started: what relative paths are taken from."""
    return Path(sys.argv[0]).resolve().parent


def _check_int(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise RuntimeError(f"Parameter '{name}' should be int, but actually {type(value)}")


def decryption_key(key: Any, mode: Any) -> DecryptionKey | None:
    """The key of model files; raises RuntimeError, which says nothing of what was given.

    It may be the key in the wrong place.
    """
    if mode not in MODES:
        raise RuntimeError("Parameter 'dec_mode' expected to be 'AES-GCM' or 'AES-CBC'")
    if key is None:
        return None
    if not isinstance(key, bytes):
        raise RuntimeError(f"Parameter 'dec_key' should be bytes, but actually {type(key)}")
    if not key:
        raise RuntimeError("Parameter 'dec_key' should not be empty bytes")
    if len(key) not in KEY_LENGTHS:
        raise RuntimeError(f"Parameter 'dec_key' length {len(key)} expected to be 16, 24 or 32")
    return DecryptionKey(key, mode)


def _device_ids(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    ids = (value,) if type(value) is int else value
    if not isinstance(ids, tuple | list) or not all(type(each) is int for each in ids):
        raise RuntimeError(
            f"Parameter 'device_ids' should be int or tuple/list of int, but actually {type(value)}"
        )
    for position, each in enumerate(ids):
        named = f"The item value '{each}' in parameter 'device_ids'"
        if each < 0:
            raise RuntimeError(f"{named} should be >= 0")
        if each in ids[:position]:
            raise RuntimeError(f"{named} should not be repeated")
    return tuple(ids)


def _device_type(value: Any) -> str:
    if value is not None:
        check_text("device_type", value)
    text = "none" if value is None else value.lower()
    if text not in _DEVICE_TYPES:
        raise RuntimeError(
            f"Unsupported device type '{value}', only support 'Ascend', 'GPU', 'CPU' and None,"
            " case ignored"
        )
    return text
