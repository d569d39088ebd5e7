"""Between agent and device process: a socket for messages, arenas for arrays.

A message is a JSON object behind its length; it says where arrays lie.
"""

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from shared.arena import Placed

LENGTH = struct.Struct("<I")


def pack(message: dict[str, Any]) -> bytes:
    """A message as bytes."""
    body = json.dumps(message).encode()
    return LENGTH.pack(len(body)) + body


def describe(placed: Iterable[Placed]) -> list[dict[str, Any]]:
    """Where arrays lie, for a message."""
    return [asdict(place) for place in placed]


def placed_in(described: Sequence[dict[str, Any]]) -> list[Placed]:
    """Where arrays lie, out of a message."""
    return [Placed(each["offset"], each["dtype"], tuple(each["dims"])) for each in described]
