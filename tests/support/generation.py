"""A simulated agent for generation: its model reads the whole cache, as a real one does.

What a slot's cache holds at a position is made of the token there and of what is before it,
and the next token of all of it. So a token that was computed at the wrong place, a block
loaded from the wrong text, or a row that reads what was never written, shows in the text.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.worker.generation.buckets import Bucket
from services.worker.generation.prompts import Limits, Prompt
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.scheduler import Output, Scheduler
from services.worker.generation.sequences import Finish, Sequence
from services.worker.generation.sources import Parcel
from services.worker.generation.steps import Export, Outcome, Step

VOCABULARY = 4


RULES = SchedulerRules(
    slots=4,
    context=64,
    blocks=64,
    block_size=4,
    prefill_buckets=tuple(
        Bucket(batch, width, length)
        for batch in (1, 2, 4)
        for width in (8, 16)
        for length in (16, 64)
    ),
    decode_buckets=tuple(Bucket(batch, 1, length) for batch in (1, 2, 4) for length in (16, 64)),
    token_budget=32,
    chunk_tokens=16,
    max_prefill_batch=4,
)


def prompt_of(*tokens: int, new: int = 4, **more: Any) -> Prompt:
    """A prompt whose completion has so many tokens."""
    return Prompt(tokens, Limits(new), **more)


def remembered(cache: list[int], token: int, adapter: int) -> int:
    """What the cache holds of a token behind all the others."""
    return hash((cache[-1] if cache else -1, token, adapter))


def following(cache: list[int], token: int) -> int:
    """The model's next token: often a cycle, so that lookups find something."""
    drawn = hash(tuple(cache))
    return (drawn >> 8) % VOCABULARY if drawn % 4 == 0 else (token + 1) % VOCABULARY


def continue_plainly(prompt: Prompt, most_tokens: int) -> tuple[list[int], Finish]:
    """The completion of a prompt, one token after the other, and why it ended."""
    cache: list[int] = []
    for token in prompt.tokens:
        cache.append(remembered(cache, token, prompt.adapter))
    tokens = [following(cache, prompt.tokens[-1])]
    while True:
        if prompt.limits.stops_at(tokens[-1], len(tokens)):
            return tokens, Finish.STOP
        if len(prompt.tokens) + len(tokens) >= most_tokens:
            return tokens, Finish.LENGTH
        cache.append(remembered(cache, tokens[-1], prompt.adapter))
        tokens.append(following(cache, tokens[-1]))


@dataclass
class Slot:
    """One row of the device's cache."""

    adapter: int
    cache: list[int]
    last: int = -1


@dataclass
class HeldMemory:
    """What a parcel holds; it complains when it is not let go of once."""

    content: list[int]
    closed: bool = False

    @property
    def size(self) -> int:
        return 8 * len(self.content)

    def release(self) -> None:
        assert not self.closed, "a parcel is let go of twice"
        self.closed = True

    def lose(self) -> None:
        self.release()


@dataclass
class SimulatedAgent:
    """Does what steps say and complains about those that cannot be done."""

    rules: SchedulerRules
    known: dict[int, Sequence] = field(default_factory=dict)
    """By their numbers; a real agent is told of those that start."""
    slots: dict[int, Slot] = field(default_factory=dict)
    store: dict[int, list[int]] = field(default_factory=dict)
    exported: list[tuple[Export, HeldMemory]] = field(default_factory=list)

    def know(self, sequences: Iterable[Sequence]) -> None:
        for sequence in sequences:
            self.known[sequence.number] = sequence

    def run(self, step: Step) -> dict[int, Outcome]:
        size = self.rules.block_size
        for store in step.stores:
            block = self.slots[store.slot].cache[store.index * size : (store.index + 1) * size]
            assert len(block) == size, "a block is stored that is not full"
            self.store[store.block] = block
        for slot in step.freed:
            del self.slots[slot]
        fetching = set()
        for start in step.starts:
            assert start.slot not in self.slots, "a slot is given to two sequences"
            loaded = [entry for block in start.loads for entry in self.store[block]]
            sequence = self.known[start.sequence]
            self.slots[start.slot] = Slot(sequence.prompt.adapter, loaded, sequence.tokens[-1])
            if sequence.source is not None:
                fetching.add(start.slot)
        for each in step.imports:
            slot, parcel = self.slots[each.slot], each.parcel
            assert parcel.first == len(slot.cache), "a parcel does not follow what is there"
            assert isinstance(parcel.memory, HeldMemory)
            assert not parcel.memory.closed, "a parcel is read after its end"
            slot.cache += parcel.memory.content
        rows = [chunk.slot for call in step.prefills for chunk in call.chunks]
        rows += step.decode.slots if step.decode else ()
        assert len(rows) == len(set(rows)), "a slot is in two rows of a step"
        begun = {start.slot for start in step.starts}
        assert begun <= set(rows) | fetching, "a slot is given too early"
        outcomes = self._prefill(step)
        if step.decode is not None:
            bucket, slots = step.decode.bucket, step.decode.slots
            assert bucket in self.rules.decode_buckets
            assert list(slots) == sorted(slots)
            for number, position in zip(slots, step.decode.positions, strict=True):
                slot = self.slots[number]
                assert len(slot.cache) == position
                assert number < bucket.batch
                assert len(slot.cache) <= bucket.length
                slot.cache.append(remembered(slot.cache, slot.last, slot.adapter))
                slot.last = following(slot.cache, slot.last)
                outcomes[number] = Outcome((slot.last,))
        self.exported = [self._export(each) for each in step.exports]
        return outcomes

    def _export(self, export: Export) -> tuple[Export, HeldMemory]:
        held = self.slots[export.slot].cache[export.first : export.first + export.count]
        assert len(held) == export.count, "cache is given away that is not there"
        return export, HeldMemory(held)

    def deliver(self) -> list[HeldMemory]:
        """Give those who asked what the last step gave away."""
        exported, self.exported = self.exported, []
        for export, memory in exported:
            export.to.deliver(Parcel(export.first, export.count, memory))
        return [memory for _, memory in exported]

    def _prefill(self, step: Step) -> dict[int, Outcome]:
        outcomes = {}
        for call in step.prefills:
            assert call.bucket in self.rules.prefill_buckets
            assert len(call.chunks) <= min(call.bucket.batch, self.rules.max_prefill_batch)
            for chunk in call.chunks:
                slot = self.slots[chunk.slot]
                assert 0 < len(chunk.tokens) <= call.bucket.tokens
                assert chunk.first <= len(slot.cache), "a gap is left in the cache"
                assert chunk.first <= call.bucket.length
                del slot.cache[chunk.first :]
                sampled: list[int] = []
                ended = False
                for index, token in enumerate(chunk.tokens):
                    slot.cache.append(remembered(slot.cache, token, slot.adapter))
                    if ended or index < len(chunk.tokens) - chunk.samples:
                        continue
                    sampled.append(following(slot.cache, token))
                    ended = chunk.tokens[index + 1 : index + 2] != (sampled[-1],)
                # What comes behind a token that was not sampled is of no use.
                del slot.cache[chunk.first + len(chunk.tokens) - chunk.samples + len(sampled) :]
                if sampled:
                    slot.last = sampled[-1]
                    outcomes[chunk.slot] = Outcome(tuple(sampled))
        return outcomes


def run_step(
    scheduler: Scheduler,
    agent: SimulatedAgent,
    now: float = 0.0,
    *,
    change: Callable[[Mapping[int, Outcome]], Mapping[int, Outcome]] = lambda outcomes: outcomes,
) -> tuple[Step, list[Output]]:
    """One step from its plan to its outputs."""
    step = scheduler.schedule(now)
    assert step is not None
    return step, scheduler.step_done(step, change(agent.run(step)), now)


def run_all(scheduler: Scheduler, agent: SimulatedAgent, *, most_steps: int = 1000) -> list[Step]:
    """Every step until there is nothing to do."""
    steps = []
    while (step := scheduler.schedule(0.0)) is not None:
        scheduler.step_done(step, agent.run(step), 0.0)
        steps.append(step)
        assert len(steps) <= most_steps
    return steps
