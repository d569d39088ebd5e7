"""What a maximum queue delay does: the real batcher before a device of virtual time.

``python -m benchmarks.queue_delay`` prints a table. Nothing is measured: an agent takes one
batch and one ahead, the way to its device and back takes ``HOP_SECONDS`` each, and a
caller asks again as soon as it is answered.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from services.worker.batching.batcher import Batcher
from services.worker.batching.parts import Batch, Submission
from services.worker.batching.policy import BatchingPolicy

HOP_SECONDS = 0.0002
THINKING_SECONDS = 0.0003
MAX_ROWS = 32
ANSWERS = 3000
MODELS: dict[str, Callable[[int], float]] = {
    "0.5 ms a batch": lambda rows: 0.0005,
    "5 ms a batch": lambda rows: 0.005,
    "0.2 ms, and 0.1 ms a row": lambda rows: 0.0002 + 0.0001 * rows,
}
DELAYS = (None, 0.0, 0.002)
CALLERS = (4, 16, 64)
ROW = [(np.zeros(2, np.float32),)]


@dataclass(slots=True)
class Simulation:
    """Callers, a queue and an agent."""

    seconds_of: Callable[[int], float]
    batcher: Batcher
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    now: float = 0.0
    in_hand: int = 0
    at_device: list[Batch] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)
    looks_at: float = -1.0

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.numbers), event))

    def arrive(self) -> None:
        self.batcher.admit(Submission("g", ROW, None, self.now))
        self.after(0, self.pump)

    def pump(self) -> None:
        """As ``services.worker.batching.queue`` does."""
        while self.batcher.queued_rows and self.in_hand < 2:
            if self.in_hand:
                moment = self.batcher.goes_ahead_at(MAX_ROWS)
                if moment is None or moment > self.now:
                    if moment is not None and moment != self.looks_at:
                        self.looks_at = moment
                        self.after(moment - self.now, self.pump)
                    return
            batch = self.batcher.take(max_rows=MAX_ROWS, now=self.now).batch
            assert batch is not None
            self.in_hand += 1
            self.after(HOP_SECONDS, lambda batch=batch: self.reach(batch))

    def reach(self, batch: Batch) -> None:
        self.at_device.append(batch)
        if len(self.at_device) == 1:
            self.work()

    def work(self) -> None:
        self.after(self.seconds_of(self.at_device[0].rows), self.finish)

    def finish(self) -> None:
        batch = self.at_device.pop(0)
        self.after(HOP_SECONDS, lambda: self.answer(batch))
        if self.at_device:
            self.work()

    def answer(self, batch: Batch) -> None:
        self.in_hand -= 1
        for part in batch.parts:
            self.waits.append(self.now - part.submission.submitted_at)
            self.after(THINKING_SECONDS * self.dice.uniform(0.5, 1.5), self.arrive)
        self.after(0, self.pump)

    def run(self, callers: int) -> tuple[float, float]:
        """Answers per second, and the median wait in seconds."""
        for _ in range(callers):
            self.after(self.dice.uniform(0, THINKING_SECONDS), self.arrive)
        while len(self.waits) < ANSWERS:
            self.now, _, event = heapq.heappop(self.events)
            event()
        return len(self.waits) / self.now, sorted(self.waits)[len(self.waits) // 2]


def main() -> None:
    heads = ["none" if delay is None else f"{delay * 1e3:g} ms" for delay in DELAYS]
    print("answers a second (median wait in ms), by delay\n")
    print("| model | callers |", " | ".join(heads), "|")
    print("|---|---:|" + "---:|" * len(DELAYS))
    for model, seconds_of in MODELS.items():
        for callers in CALLERS:
            cells = []
            for delay in DELAYS:
                policy = BatchingPolicy(10_000, max_queue_delay_seconds=delay)
                rate, wait = Simulation(seconds_of, Batcher("m", policy)).run(callers)
                cells.append(f"{rate:,.0f} ({wait * 1e3:.1f})")
            print(f"| {model} | {callers} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
