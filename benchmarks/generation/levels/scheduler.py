"""The scheduler alone, in this process: its part of a step in which every row gets one token."""

import time

from benchmarks.generation.shapes import DECODE, LONGEST, NEW_TOKENS, PREFILL, PROMPT_TOKENS, ROWS
from services.worker.generation.buckets import Bucket
from services.worker.generation.prompts import Limits, Prompt
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.scheduler import Scheduler
from services.worker.generation.steps import Outcome

_BLOCK = 16
RULES = SchedulerRules(
    slots=ROWS, context=LONGEST, blocks=ROWS * LONGEST // _BLOCK, block_size=_BLOCK,
    prefill_buckets=tuple(Bucket(*shape) for shape in PREFILL),
    decode_buckets=tuple(Bucket(*shape) for shape in DECODE),
    token_budget=1024, max_prefill_batch=ROWS, prefix_cache=False,
)  # fmt: skip
_TOKEN = Outcome((7,))


def step_us(rows: int, texts: int = 20) -> float:
    """Microseconds of planning a step and of taking in what came of it, the mean of many."""
    scheduler = Scheduler("llm", RULES)
    took, steps = 0.0, 0
    for _ in range(texts):
        for row in range(rows):
            scheduler.add(Prompt((row,) * PROMPT_TOKENS, Limits(NEW_TOKENS)), 0.0)
        while scheduler.running or scheduler.waiting:
            began = time.perf_counter()
            step = scheduler.schedule(0.0)
            planned = time.perf_counter()
            assert step is not None
            chunks = [chunk for call in step.prefills for chunk in call.chunks if chunk.samples]
            decoded = step.decode.slots if step.decode else ()
            outcomes = dict.fromkeys((*(chunk.slot for chunk in chunks), *decoded), _TOKEN)
            ran = time.perf_counter()
            scheduler.step_done(step, outcomes, 0.0)
            if not step.prefills:
                took += time.perf_counter() - ran + planned - began
                steps += 1
    return 1e6 * took / steps
