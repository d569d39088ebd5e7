"""Values between a worker and its stage process: small ones in messages, arrays in shared memory.

Both run the same servable's code for the same user, so pickle opens no door that was closed.
"""

import pickle
import struct
from typing import Any

import numpy as np

from shared.arena import Arena, Placed
from shared.tensors import Array

# Below this, bytes inside the message cost less than their place in shared memory.
_SHARED_FROM_BYTES = 16 << 10
_COUNT = struct.Struct("<I")
_PLACE = struct.Struct("<QQ")


def pack(arena: Arena, values: Any, offset: int) -> tuple[bytes, int]:
    """A message, its large arrays in ``arena`` from ``offset`` on; and where they end.

    Raises OSError when there is no memory for them.
    """
    large: list[Array] = []

    def is_small(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes >= _SHARED_FROM_BYTES:
            large.append(np.frombuffer(raw, np.uint8))
        return raw.nbytes < _SHARED_FROM_BYTES

    pickled = pickle.dumps(values, protocol=5, buffer_callback=is_small)
    places: list[Placed] = []
    if large:
        places, offset = arena.write(large, offset)
    head = _COUNT.pack(len(places))
    return b"".join(
        (head, *(_PLACE.pack(each.offset, each.dims[0]) for each in places), pickled)
    ), offset


def unpack(arena: Arena, message: bytes) -> Any:
    """The values, copied out of ``arena``: its owner writes there again."""
    (count,) = _COUNT.unpack_from(message)
    begin = _COUNT.size + count * _PLACE.size
    places = [
        Placed(offset, "uint8", (size,))
        for offset, size in _PLACE.iter_unpack(message[_COUNT.size : begin])
    ]
    buffers = [bytearray(each) for each in arena.read(places)] if places else []
    return pickle.loads(memoryview(message)[begin:], buffers=buffers)  # noqa: S301 (see above)
