"""(pure) Chance that depends on a sequence's seed and the place of a token alone.

So the same seed draws the same text, whatever else is computed with it, and whether or not
the sequence was put off, computed again or speculated about.
"""

import numpy as np


def draw(seed: int, place: int) -> float:
    """A number in [0, 1), uniform over places and seeds.

    Source: Salmon and others, Parallel Random Numbers: As Easy as 1, 2, 3 (2011); NumPy's Philox.
    """
    # The counter is counted up before it is used: its low word must leave room for that.
    bits = np.random.Philox(key=seed, counter=place << 64).random_raw()
    return float(int(bits) >> 11) * 2.0**-53
