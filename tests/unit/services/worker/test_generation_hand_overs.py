"""Prompts on some agents, texts on others, whatever happens: every text is that of a plain loop."""

from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.worker.generation.prompts import Prompt
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.scheduler import Output, Scheduler
from services.worker.generation.sequences import Finish, Sequence, State
from services.worker.generation.steps import Outcome, Step
from shared.deadline import Deadline
from shared.errors import AgentLost, InvalidRequest, Overloaded
from tests.support.generation import HeldMemory, SimulatedAgent, continue_plainly
from tests.unit.services.worker.test_generation_machine import all_rules, prompts

LOST = AgentLost("m: gone")


@dataclass(eq=False)
class Side:
    """One agent and its scheduler."""

    rules: SchedulerRules
    hands_over: bool
    under_way: tuple[Step, dict[int, Outcome]] | None = None
    texts: dict[int, "Text"] = field(default_factory=dict)
    """By the numbers of their sequences."""

    def __post_init__(self) -> None:
        self.scheduler = Scheduler("m", self.rules, hands_over=self.hands_over)
        self.agent = SimulatedAgent(self.rules)

    def have(self, text: "Text", sequence: Sequence) -> None:
        text.side, text.sequence = self, sequence
        self.texts[sequence.number] = text
        self.agent.know([sequence])


@dataclass(eq=False)
class Text:
    """What its caller knows of it."""

    prompt: Prompt
    most_tokens: int
    side: Side
    sequence: Sequence
    tokens: list[int] = field(default_factory=list)
    finish: Finish | None = None


class Apart(RuleBasedStateMachine):
    """Two agents for prompts and two that decode, with at most one step under way at each."""

    @initialize(
        rules=all_rules(),
        most=st.sampled_from((1, 1, 2, 3, 8)),
        first=st.lists(prompts(), min_size=3, max_size=8),
    )
    def make(self, rules: SchedulerRules, most: int, first: list[Prompt]) -> None:
        # Ends by errors are another machine's.
        self.rules = replace(rules, recoveries=100, transfer_tokens=most)
        self.sides = [Side(self.rules, hands_over=n < 2) for n in range(4)]
        self.now = 0.0
        self.texts: list[Text] = []
        self.memories: list[HeldMemory] = []
        for prompt in first:
            self.add_prompt(prompt, 0)

    @property
    def alive(self) -> list[Text]:
        return [text for text in self.texts if text.finish is None]

    @rule(prompt=prompts(), seconds=st.integers(0, 80), place=st.sampled_from((0, 0, 0, 1, 2)))
    def add(self, prompt: Prompt, seconds: int, place: int) -> None:
        if seconds <= 20:
            prompt = replace(prompt, deadline=Deadline.after(seconds, now=self.now))
        self.add_prompt(prompt, place)

    def add_prompt(self, prompt: Prompt, place: int) -> None:
        side = self.sides[place]
        try:
            added = side.scheduler.add(prompt, self.now)
        except (InvalidRequest, Overloaded):
            return
        for sequence in added:
            text = Text(sequence.prompt, sequence.most_tokens, side, sequence)
            self.texts.append(text)
            side.have(text, sequence)

    @rule(turns=st.lists(st.integers(0, 3), min_size=1, max_size=12))
    def take_turns(self, turns: list[int]) -> None:
        """In any interleaving: who has a step under way ends it, others begin one."""
        for place in turns:
            if self.sides[place].under_way is not None:
                self.finish_step(place)
            else:
                self.hand_over()
                self.begin_step(place)
            self.hold_together()

    def begin_step(self, place: int) -> None:
        side = self.sides[place]
        if side.under_way is not None:
            return
        step = side.scheduler.schedule(self.now)
        if step is None:
            return
        assert step.tokens <= self.rules.token_budget
        most = max(self.rules.transfer_tokens, 1)
        assert sum(each.count for each in step.exports) <= most
        assert sum(each.parcel.tokens for each in step.imports) <= most
        if side.hands_over:
            assert step.decode is None
            assert not step.imports
        side.under_way = step, side.agent.run(step)

    def finish_step(self, place: int) -> None:
        side = self.sides[place]
        if side.under_way is None:
            return
        step, outcomes = side.under_way
        side.under_way = None
        self.memories += side.agent.deliver()
        self._tell(side, side.scheduler.step_done(step, outcomes, self.now))

    def hand_over(self) -> None:
        for giver in self.sides[:2]:
            for sequence in giver.scheduler.held:
                for taker in self.sides[2:]:
                    if taker.scheduler.has_room(sequence):
                        self._accept(giver, taker, sequence)
                        break
                else:
                    break

    def _accept(self, giver: Side, taker: Side, sequence: Sequence) -> None:
        text = giver.texts.pop(sequence.number)
        source = giver.scheduler.lend(sequence, lambda: None)
        taker.have(text, taker.scheduler.accept(sequence, source))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), how=st.integers(0, 2))
    def cancel(self, data: st.DataObject, how: int) -> None:
        if how:
            return  # most callers stay
        text = data.draw(st.sampled_from(self.alive))
        output = text.side.scheduler.cancel(text.sequence)
        assert output is not None
        self._tell(text.side, [output])

    @rule(place=st.integers(0, 3), how=st.integers(0, 2))
    def fail_step(self, place: int, how: int) -> None:
        if how:
            return  # agents are lost rarely
        self._lose(self.sides[place])

    def _lose(self, side: Side) -> None:
        # What it gave away, if it did, nobody hears of.
        for _, memory in side.agent.exported:
            memory.lose()
        side.under_way = None
        self._tell(side, side.scheduler.lost(LOST, self.now))
        side.agent = SimulatedAgent(self.rules, side.agent.known)

    @rule(place=st.integers(0, 3), how=st.integers(0, 3))
    def lose_for_good(self, place: int, how: int) -> None:
        """Its texts go on with an agent for prompts, and another agent is in its place."""
        if how:
            return
        side = self.sides[place]
        self._lose(side)
        self.sides[place] = Side(self.rules, side.hands_over)
        for text in sorted(side.texts.values(), key=lambda each: each.sequence.order):
            text.sequence.drop_source()
            other = self.sides[place % 2]
            other.have(text, other.scheduler.adopt(text.sequence))

    @rule(seconds=st.integers(1, 5))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        for side in self.sides:
            self._tell(side, side.scheduler.tick(self.now))

    def _tell(self, side: Side, outputs: list[Output]) -> None:
        for output in outputs:
            text = side.texts[output.sequence.number]
            assert text.finish is None, "something is told after the end"
            text.tokens += output.tokens
            if output.finish is not None:
                text.finish = output.finish
                del side.texts[output.sequence.number]

    @invariant()
    def hold_together(self) -> None:
        if not hasattr(self, "sides"):
            return
        sources = {
            text.sequence.source
            for text in self.alive
            if text.sequence.source is not None and not text.sequence.source.is_lost
        }
        lent = 0
        for side in self.sides:
            scheduler = side.scheduler
            line = list(scheduler._running.line)
            assert scheduler.running == len(line)
            slots = [each.slot for each in line]
            assert len(set(slots)) == len(slots)
            assert all(0 <= slot < self.rules.slots for slot in slots)
            assert scheduler.blocks_used == len({b for each in line for b in each.blocks})
            here = [each for each in line if each.state is not State.LENT]
            assert {each.number for each in here} <= set(side.texts)
            assert len(side.texts) == len(here) + scheduler.waiting
            lent += len(line) - len(here)
            assert side.hands_over or not any(
                each.state in (State.HELD, State.LENT) for each in line
            )
            assert all(len(each.blocks) >= self.rules.blocks_of(each.computed) for each in line)
        assert lent == len(sources), "what nobody fetches is kept, or what is fetched is not"
        for text in self.alive:
            made = [*text.prompt.tokens, *text.tokens]
            assert text.sequence.tokens == made, "a text changed on its way"

    def teardown(self) -> None:
        if not hasattr(self, "sides"):
            return
        rounds = 40 * sum(text.most_tokens for text in self.alive) + 20
        while self.alive or any(side.under_way for side in self.sides):
            for place in range(4):
                self.take_turns([place])
            rounds -= 1
            assert rounds, "somebody starves"
        for side in self.sides:
            assert side.scheduler.schedule(self.now) is None
            assert side.scheduler.blocks_used == side.scheduler.running == 0
            assert not side.texts
        assert all(memory.closed for memory in self.memories), "memory is kept for ever"
        for text in self.texts:
            plain, finish = continue_plainly(text.prompt, text.most_tokens)
            if text.finish in {Finish.STOP, Finish.LENGTH}:
                assert (text.tokens, text.finish) == (plain, finish)
            else:
                assert text.tokens == plain[: len(text.tokens)]


TestApart = Apart.TestCase
TestApart.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
