"""Hours of generation in virtual time: how long callers wait, and what the slots do meanwhile."""

from collections import defaultdict
from collections.abc import Sequence as Several
from dataclasses import dataclass, field, replace
from itertools import pairwise
from random import Random

import pytest

from services.worker.generation.buckets import Bucket
from services.worker.generation.prompts import Limits, Prompt
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.scheduler import Output, Scheduler
from services.worker.generation.sequences import Finish, Sequence
from services.worker.generation.steps import Step
from shared.deadline import Deadline
from tests.support.generation import SimulatedAgent

_RULES = SchedulerRules(
    slots=8,
    context=512,
    blocks=128,
    block_size=16,
    prefill_buckets=tuple(Bucket(b, t, s) for b in (1, 4) for t in (16, 64) for s in (128, 512)),
    decode_buckets=tuple(Bucket(b, 1, s) for b in (1, 4, 8) for s in (128, 512)),
    token_budget=72,
    chunk_tokens=64,
)
# What calls of a small model's graphs take on two cores, about: some milliseconds, and some
# more for each token.
_CALL_SECONDS, _TOKEN_SECONDS = 0.002, 0.0005


def seconds_of(step: Step) -> float:
    buckets = [call.bucket for call in step.prefills]
    if step.decode is not None:
        buckets.append(step.decode.bucket)
    return sum(_CALL_SECONDS + _TOKEN_SECONDS * each.batch * each.tokens for each in buckets)


@dataclass
class Record:
    """What happened, and when."""

    arrived: dict[Sequence, float] = field(default_factory=dict)
    told: dict[Sequence, list[float]] = field(default_factory=lambda: defaultdict(list))
    ended: dict[Sequence, float] = field(default_factory=dict)
    steps: list[tuple[Step, int]] = field(default_factory=list)
    """With how many sequences waited when each had begun."""
    looks: int = 0
    """How often the scheduler was asked for a step."""

    def tell(self, outputs: list[Output], now: float) -> None:
        for output in outputs:
            if output.tokens:
                self.told[output.sequence].append(now)
            if output.finish is not None:
                self.ended[output.sequence] = now

    def gaps(self, sequence: Sequence) -> list[float]:
        times = self.told[sequence]
        return [later - sooner for sooner, later in pairwise(times)]


def simulate(rules: SchedulerRules, arrivals: Several[tuple[float, Prompt]]) -> Record:
    """Run until everybody is served; the clock jumps to whatever happens next."""
    scheduler, agent, record = Scheduler("m", rules), SimulatedAgent(rules), Record()
    coming = sorted(arrivals, key=lambda arrival: arrival[0], reverse=True)
    now = 0.0
    while True:
        while coming and coming[-1][0] <= now:
            at, prompt = coming.pop()
            for sequence in scheduler.add(prompt, at):
                agent.know([sequence])
                record.arrived[sequence] = at
        step = scheduler.schedule(now)
        record.looks += 1
        if step is not None:
            record.steps.append((step, scheduler.waiting))
            now += seconds_of(step)
            record.tell(scheduler.step_done(step, agent.run(step), now), now)
        elif coming:
            now = coming[-1][0]
        else:
            return record


def poisson(count: int, per_second: float, seed: int) -> list[tuple[float, Prompt]]:
    random = Random(seed)
    system = tuple(random.randrange(4) for _ in range(48))
    arrivals, now = [], 0.0
    for _ in range(count):
        now += random.expovariate(per_second)
        own = tuple(random.randrange(4) for _ in range(random.choice((5, 20, 60, 200))))
        arrivals.append((now, Prompt(system + own, Limits(random.choice((8, 30, 60))))))
    return arrivals


def test_gaps_between_a_streams_tokens_stay_within_a_full_step_whatever_prompts_arrive() -> None:
    stream = (0.0, Prompt((1, 2, 3), Limits(60)))
    prompts = [(0.05 * at, Prompt((at % 4,) * 400, Limits(1))) for at in range(1, 6)]
    for chunk, budget in ((64, 72), (16, 24)):
        rules = replace(_RULES, chunk_tokens=chunk, token_budget=budget)
        record = simulate(rules, [stream, *prompts])
        (sequence,) = (each for each, at in record.arrived.items() if at == 0.0)
        # The call for a chunk, one for the end of a prompt before it, and the decode batch.
        full_step = 3 * _CALL_SECONDS + _TOKEN_SECONDS * (2 * chunk + rules.slots)
        assert max(record.gaps(sequence)) <= full_step
        assert max(record.told[sequence]) > prompts[-1][0]


@pytest.mark.parametrize("seed", range(3))
def test_under_steady_load_everybody_is_served_in_full_and_slots_are_not_left_empty(
    seed: int,
) -> None:
    record = simulate(_RULES, poisson(150, per_second=20.0, seed=seed))
    assert len(record.ended) == 150
    for sequence in record.arrived:
        assert sequence.finish is Finish.LENGTH
        assert len(record.told[sequence]) == sequence.prompt.limits.max_new_tokens
    # While somebody waits, rows are empty only for want of tokens or blocks in a step.
    crowded = [step for step, waiting in record.steps if waiting >= 4]
    assert len(crowded) > 100
    rows = sum(
        sum(len(call.chunks) for call in step.prefills)
        + (len(step.decode.slots) if step.decode else 0)
        for step in crowded
    )
    assert rows / len(crowded) >= 0.8 * _RULES.slots


def test_a_batch_of_eight_makes_texts_much_faster_than_one_after_the_other() -> None:
    arrivals = [(0.0, Prompt((index % 4, 1, 2), Limits(60))) for index in range(40)]
    together = simulate(_RULES, arrivals)
    alone = simulate(replace(_RULES, slots=1), arrivals)
    assert max(together.ended.values()) < max(alone.ended.values()) / 2.5


def test_a_cached_beginning_shortens_the_way_to_the_first_token() -> None:
    arrivals = poisson(40, per_second=4.0, seed=3)
    waits = []
    for prefix_cache in (True, False):
        record = simulate(replace(_RULES, prefix_cache=prefix_cache), arrivals)
        waits.append(sum(record.told[each][0] - at for each, at in record.arrived.items()))
    assert waits[0] < 0.9 * waits[1]


def test_deadlines_are_kept_to_within_a_step() -> None:
    arrivals = [
        (at, replace(prompt, deadline=Deadline.after(0.5, now=at)))
        for at, prompt in poisson(100, per_second=30.0, seed=5)
    ]
    record = simulate(_RULES, arrivals)
    longest_step = max(seconds_of(step) for step, _ in record.steps)
    late = [each for each in record.ended if each.finish is Finish.DEADLINE]
    assert late
    assert len(late) < len(record.ended)
    for sequence, at in record.ended.items():
        assert at - record.arrived[sequence] <= 0.5 + longest_step + 1e-9


def test_nobody_looks_for_work_without_cause() -> None:
    record = simulate(_RULES, poisson(50, per_second=0.5, seed=2))
    assert record.looks <= len(record.steps) + 2 * len(record.arrived)
