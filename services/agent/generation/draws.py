"""(pure) Chance that depends on a sequence's seed and the place of a token alone.

So the same seed draws the same text, whatever else is computed with it, and whether or not
the sequence was put off, computed again or speculated about.
"""

from typing import Any

import numpy as np

# One for all draws of the thread that executes graphs: to make one takes five times as long as to
# tell it where to go on.
_PHILOX = np.random.Philox(key=0)
_EMPTY = {"buffer": np.zeros(4, np.uint64), "buffer_pos": 4, "has_uint32": 0, "uinteger": 0}


def draw(seed: int, place: int) -> float:
    """A number in [0, 1), uniform over places and seeds.

    What ``np.random.Philox(key=seed, counter=[0, place, 0, 0])`` gives first.
    Source: Salmon and others, Parallel Random Numbers: As Easy as 1, 2, 3 (2011).
    """
    counter, key = np.array([0, place, 0, 0], np.uint64), np.array([seed, 0], np.uint64)
    state: Any = {"bit_generator": "Philox", "state": {"counter": counter, "key": key}}
    _PHILOX.state = state | _EMPTY
    return (int(_PHILOX.random_raw()) >> 11) * 2.0**-53
