"""A step that is planned before it is known what came of the one under way."""

from dataclasses import replace

import pytest

from services.worker.generation.prompts import Prompt
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.scheduler import Scheduler
from services.worker.generation.sequences import Sequence
from services.worker.generation.steps import Step
from shared.errors import AgentLost
from tests.support.generation import RULES, SimulatedAgent, continue_plainly, prompt_of


class Pair:
    """A scheduler and an agent that has up to two steps."""

    def __init__(self, rules: SchedulerRules = RULES, **changes: object) -> None:
        self.rules = replace(rules, **changes)
        self.scheduler = Scheduler("m", self.rules)
        self.agent = SimulatedAgent(self.rules)
        self.steps: list[Step] = []

    def add(self, *prompts: Prompt) -> list[Sequence]:
        added = [each for prompt in prompts for each in self.scheduler.add(prompt, 0.0)]
        self.agent.know(added)
        return added

    def begin(self) -> Step:
        step = self.scheduler.schedule(0.0)
        assert step is not None
        self.steps.append(step)
        return step

    def ahead(self) -> Step | None:
        step = self.scheduler.schedule_ahead(0.0)
        if step is not None:
            self.steps.append(step)
        return step

    def finish(self) -> None:
        """The first of the steps under way."""
        step = self.steps.pop(0)
        self.scheduler.step_done(step, self.agent.run(step), 0.0)

    def decoding(self, *prompts: Prompt) -> list[Sequence]:
        """Their prompts are computed, and the first step that decodes is under way."""
        added = self.add(*prompts)
        self.begin()
        self.finish()
        self.begin()
        return added


def slots_of(step: Step | None) -> dict[int, int]:
    """The position of each slot that decodes."""
    assert step is not None
    assert step.decode is not None
    return dict(zip(step.decode.slots, step.decode.positions, strict=True))


def test_the_same_slots_go_on_at_the_next_position() -> None:
    pair = Pair()
    texts = pair.decoding(prompt_of(0, 1, new=20), prompt_of(2, new=20))
    assert slots_of(pair.steps[0]) == {0: 2, 1: 1}
    assert slots_of(pair.ahead()) == {0: 3, 1: 2}
    assert pair.ahead() is None, "there is one already"
    assert pair.scheduler.schedule(0.0) is None
    pair.finish()
    assert [each.generated for each in texts] == [2, 2]
    assert slots_of(pair.ahead()) == {0: 4, 1: 3}
    while pair.steps:
        pair.finish()
        pair.ahead()
    for text in texts:
        assert (text.tokens[len(text.prompt.tokens) :], text.finish) == continue_plainly(
            text.prompt, text.most_tokens
        )


def test_who_reaches_its_last_token_is_not_computed_further() -> None:
    pair = Pair()
    pair.decoding(prompt_of(0, new=2), prompt_of(1, new=9))
    assert slots_of(pair.ahead()) == {1: 2}
    pair.finish()
    step = pair.ahead()
    assert slots_of(step) == {1: 3}
    assert step is not None
    assert step.freed == (0,)


def test_who_ended_meanwhile_was_computed_in_vain() -> None:
    pair = Pair()
    leaves, stays = pair.decoding(prompt_of(0, new=9), prompt_of(1, new=9))
    assert slots_of(pair.ahead()) == {0: 2, 1: 2}
    pair.scheduler.cancel(leaves)
    pair.finish()
    assert slots_of(pair.ahead()) == {1: 3}
    pair.finish()
    assert (leaves.generated, stays.generated) == (1, 3)


@pytest.mark.parametrize("slots", [2, 4])
def test_who_waits_starts_as_soon_as_a_slot_is_free(slots: int) -> None:
    pair = Pair(slots=slots)
    pair.decoding(prompt_of(0, new=3), prompt_of(1, new=9))
    (waits,) = pair.add(prompt_of(2))
    if slots == 4:
        assert pair.ahead() is None
    else:
        assert slots_of(pair.ahead()) == {0: 2, 1: 2}
        pair.finish()
        assert pair.ahead() is None, "the first one ends in the step that is under way"
    pair.finish()
    assert [start.sequence for start in pair.begin().starts] == [waits.number]


@pytest.mark.parametrize("rules", [{"ahead": False}, {"speculated_tokens": 2}])
def test_there_are_rules_by_which_nothing_is_certain(rules: dict[str, object]) -> None:
    pair = Pair(**rules)
    pair.decoding(prompt_of(0, 1, new=9))
    assert pair.ahead() is None


def test_nothing_is_certain_while_a_prompt_is_computed() -> None:
    pair = Pair()
    pair.add(prompt_of(0, 1))
    assert pair.ahead() is None, "nothing is under way"
    pair.begin()
    assert pair.ahead() is None
    pair.finish()
    pair.add(prompt_of(*range(4), *range(4), new=9))
    step = pair.begin()
    assert (bool(step.prefills), bool(step.decode)) == (True, True)
    assert pair.ahead() is None


def test_nothing_is_certain_when_somebody_must_be_preempted() -> None:
    pair = Pair(blocks=2, block_size=2)
    pair.decoding(prompt_of(0, new=3), prompt_of(1, new=3))
    assert pair.ahead() is None
    assert pair.scheduler.counts.preemptions == 0


def test_both_steps_are_lost_with_their_agent() -> None:
    pair = Pair()
    (text,) = pair.decoding(prompt_of(0, new=9))
    assert pair.ahead() is not None
    pair.scheduler.lost(AgentLost("m: gone"), 0.0)
    for step in pair.steps:
        assert pair.scheduler.step_done(step, {}, 0.0) == []
    pair.steps.clear()
    pair.agent = SimulatedAgent(pair.rules, pair.agent.known)
    assert text.losses == 1
    pair.begin()
    assert pair.ahead() is None, "it is tried alone first"
    while pair.steps:
        pair.finish()
        if not pair.ahead() and not pair.steps and text.finish is None:
            pair.begin()
    assert text.tokens[1:] == continue_plainly(text.prompt, text.most_tokens)[0]
