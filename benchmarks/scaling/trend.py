"""(pure) Whether a figure grows with time, or only wavers."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SETTLING = 0.2
"""Part of a run that is not judged: caches fill, allocators find their size."""
SURE = 3.0
"""A slope counts when it is as many times its noise."""
LEAST = 0.02
"""And when, over the judged part, it adds this part of the mean: less matters to nobody."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A straight line through the judged samples."""

    per_minute: float
    noise_per_minute: float
    """Standard error of the slope."""
    mean: float
    minutes: float
    """Length of the judged part."""

    @classmethod
    def of(cls, seconds: Sequence[float], values: Sequence[float]) -> "Trend":
        """Least squares; raises ValueError for fewer than 4 judged samples."""
        first = seconds[0] + SETTLING * (seconds[-1] - seconds[0])
        kept = [
            (second / 60, value)
            for second, value in zip(seconds, values, strict=True)
            if second >= first
        ]
        if len(kept) < 4:
            raise ValueError(f"{len(kept)} samples are too few to judge a trend")
        minutes, ours = [each[0] for each in kept], [each[1] for each in kept]
        slope, start = statistics.linear_regression(minutes, ours)
        rest = sum((y - start - slope * x) ** 2 for x, y in kept)
        middle = statistics.mean(minutes)
        spread = sum((x - middle) ** 2 for x in minutes)
        noise = math.sqrt(rest / (len(kept) - 2) / spread)
        return cls(slope, noise, statistics.mean(ours), minutes[-1] - minutes[0])

    @property
    def growth(self) -> float:
        """What the judged part added, as a part of the mean."""
        return self.per_minute * self.minutes / self.mean

    @property
    def grows(self) -> bool:
        return self.per_minute > SURE * self.noise_per_minute and self.growth > LEAST
