"""(pure) How the rows of one model are batched: what its declaration says, else the settings."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.servable import ModelSpec
from shared.urgency import HIGHEST_PRIORITY


@dataclass(frozen=True, slots=True)
class BatchingPolicy:
    """The knobs of one model's queue; ``docs/servables.md`` tells users what each means."""

    max_queued_rows: int
    preferred_batch_sizes: tuple[int, ...] = ()
    """In ascending order."""
    max_queue_delay_seconds: float | None = None
    """None: held back until an agent is idle."""
    priority_levels: int = 1
    default_priority_level: int = 0
    """0: the middle one."""
    priority_aging_seconds: float = 10.0

    @property
    def handicaps(self) -> Sequence[float]:
        """How many seconds later than they came rows count as come, by their priority."""
        middle = (self.priority_levels + 1) // 2
        default = min(self.default_priority_level or middle, self.priority_levels)
        levels = (default, *range(HIGHEST_PRIORITY, self.priority_levels + 1))
        return [(level - HIGHEST_PRIORITY) * self.priority_aging_seconds for level in levels]

    def batch_rows(self, waiting: int) -> int:
        """How many of the rows that wait, and have room, go into one batch."""
        preferred = self.preferred_batch_sizes
        if not preferred or waiting < preferred[0]:
            return waiting
        return preferred[bisect_right(preferred, waiting) - 1]


def policy_of(model: ModelSpec, defaults: BatchingPolicy) -> BatchingPolicy:
    """The policy of a model."""
    told = model.batching
    default_level = told.default_priority_level
    if default_level is None:
        # The settings' default is one of the settings' levels.
        default_level = 0 if told.priority_levels else defaults.default_priority_level
    delay = told.max_queue_delay_seconds
    return replace(
        defaults,
        preferred_batch_sizes=told.preferred_batch_sizes,
        max_queue_delay_seconds=defaults.max_queue_delay_seconds if delay is None else delay,
        priority_levels=told.priority_levels or defaults.priority_levels,
        default_priority_level=default_level,
    )
