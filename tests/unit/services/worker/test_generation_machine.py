"""The scheduler, whatever happens in whatever order: every text is the one a plain loop makes."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.worker.generation.buckets import Bucket
from services.worker.generation.prompts import Limits, Prompt
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.scheduler import Output, Scheduler
from services.worker.generation.sequences import Finish, Sequence, State
from services.worker.generation.steps import Outcome, Step
from shared.deadline import Deadline
from shared.errors import AgentLost, ExecutionFailed, InvalidRequest, Overloaded
from tests.support.generation import VOCABULARY, SimulatedAgent, continue_plainly

# Texts that many prompts begin with, so that they share blocks.
_BEGINNINGS = ((0, 1, 2, 3, 0, 1, 2, 3, 1, 1, 2, 0), (3, 3, 2, 1, 0, 0, 1, 2, 2, 1, 0, 3), ())


@st.composite
def all_rules(draw: st.DrawFn) -> SchedulerRules:
    slots = draw(st.integers(1, 4))
    context = draw(st.integers(4, 40))
    batches = draw(st.sets(st.integers(1, slots))) | {slots}
    lengths = draw(st.sets(st.integers(1, context))) | {context}
    widths = draw(st.sets(st.integers(2, 12), min_size=1))
    prefill = {Bucket(batch, max(widths), context) for batch in (1, 2)} | {
        Bucket(draw(st.integers(1, 4)), width, length) for width in widths for length in lengths
    }
    return SchedulerRules(
        slots=slots,
        context=context,
        blocks=draw(st.integers(2, 16)),
        block_size=draw(st.integers(1, 4)),
        prefill_buckets=tuple(sorted(prefill)),
        decode_buckets=tuple(Bucket(b, 1, s) for b in sorted(batches) for s in sorted(lengths)),
        token_budget=slots + draw(st.integers(1, 20)),
        chunk_tokens=draw(st.integers(1, 16)),
        max_prefill_batch=draw(st.integers(1, 4)),
        call_tokens=draw(st.integers(0, 8)),
        continuous=draw(st.sampled_from((True, True, True, False))),
        length_fitted=draw(st.booleans()),
        ahead=draw(st.sampled_from((True, True, True, False))),
        prefix_cache=draw(st.booleans()),
        speculated_tokens=draw(st.integers(0, 4)),
        transfer_tokens=draw(st.integers(1, 16)),
        spare_blocks=draw(st.integers(0, 3)),
        recoveries=draw(st.integers(0, 2)),
        max_waiting=draw(st.integers(1, 8)),
        handicaps=draw(st.sampled_from(((0.0,), (5.0, 0.0, 5.0)))),
    )


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    beginning = draw(st.sampled_from(_BEGINNINGS))
    end = draw(st.lists(st.integers(0, VOCABULARY - 1), max_size=6))
    most = draw(st.integers(1, 24))
    return Prompt(
        tokens=(*beginning[: draw(st.integers(0, 12))], *end),
        limits=Limits(
            max_new_tokens=most,
            min_tokens=draw(st.integers(0, most)),
            eos_ids=frozenset({draw(st.sampled_from((99, 0)))}),
            stop_ids=frozenset({draw(st.sampled_from((99, 99, 99, 1)))}),
            ignore_eos=draw(st.booleans()),
        ),
        copies=draw(st.sampled_from((1, 1, 1, 2, 3))),
        priority=draw(st.integers(0, 3)),
        adapter=draw(st.sampled_from((0, 0, 0, 1))),
        salt=draw(st.sampled_from(("", "", "mine"))),
    )


class AnyOrder(RuleBasedStateMachine):
    """Events in any order, with at most one step under way and one that was sent ahead."""

    @initialize(rules=all_rules(), first=st.lists(prompts(), min_size=1, max_size=5))
    def make(self, rules: SchedulerRules, first: list[Prompt]) -> None:
        self.rules = rules
        self.scheduler = Scheduler("m", rules)
        self.agent = SimulatedAgent(rules)
        self.now = 0.0
        self.told: dict[Sequence, list[int]] = {}
        self.ended: dict[Sequence, Finish] = {}
        self.under_way: list[tuple[Step, dict[int, Outcome]]] = []
        for prompt in first:
            self.add_prompt(prompt)

    @property
    def alive(self) -> list[Sequence]:
        return [sequence for sequence in self.told if sequence not in self.ended]

    @rule(prompt=prompts(), seconds=st.integers(0, 80))
    def add(self, prompt: Prompt, seconds: int) -> None:
        if seconds <= 20:
            prompt = replace(prompt, deadline=Deadline.after(seconds, now=self.now))
        self.add_prompt(prompt)

    def add_prompt(self, prompt: Prompt) -> None:
        size = len(prompt.tokens)
        waiting = self.scheduler.waiting
        try:
            added = self.scheduler.add(prompt, self.now)
        except InvalidRequest:
            assert (
                not size or size + 1 > self.rules.capacity or prompt.copies > self.rules.max_waiting
            )
            return
        except Overloaded:
            assert waiting + prompt.copies > self.rules.max_waiting
            return
        assert 0 < size < self.rules.capacity
        assert self.scheduler.waiting <= self.rules.max_waiting
        assert len(added) == prompt.copies
        self.agent.know(added)
        self.told |= {sequence: [] for sequence in added}

    @precondition(lambda self: not self.under_way)
    @rule()
    def begin_step(self) -> None:
        decoding = [each for each in self.alive if each.state is State.DECODING]
        preemptions = {each: each.preemptions for each in self.alive}
        step = self.scheduler.schedule(self.now)
        if step is None:
            assert not self.alive, "there is work, and nothing is done"
            return
        assert step.tokens <= self.rules.token_budget
        rows = {chunk.slot for call in step.prefills for chunk in call.chunks}
        rows |= set(step.decode.slots if step.decode else ())
        if self._is_trial(step):
            decoding = []
        for sequence in decoding:
            was_preempted = sequence.preemptions > preemptions[sequence]
            assert was_preempted or sequence.slot in rows, "a running stream got no token"
            if was_preempted:
                self._check_preempted(sequence)
        if not self._is_trial(step):
            self._check_order(step)
        self.under_way.append((step, self.agent.run(step)))
        assert self.scheduler.schedule(self.now) is None

    @precondition(lambda self: self.under_way)
    @rule()
    def send_ahead(self) -> None:
        preemptions = self.scheduler.counts.preemptions
        step = self.scheduler.schedule_ahead(self.now)
        if step is None:
            return
        assert self.rules.ahead
        assert len(self.under_way) == 1
        assert self.scheduler.counts.preemptions == preemptions
        assert not step.starts
        assert not step.prefills
        assert step.decode is not None
        running = [each for each in self.alive if each.slot >= 0]
        assert all(each.state is State.DECODING for each in running)
        ending = {each.slot for each in running if len(each.tokens) + 1 >= each.most_tokens}
        assert {each.slot for each in running} - ending == set(step.decode.slots)
        assert not self.scheduler.waiting or not (ending or len(running) < self.rules.slots)
        self.under_way.append((step, self.agent.run(step)))
        assert self.scheduler.schedule_ahead(self.now) is None

    def _is_trial(self, step: Step) -> bool:
        """Whether a sequence that may have broken the agent is computed alone."""
        if step.decode is not None or [len(call.chunks) for call in step.prefills] != [1]:
            return False
        slot = step.prefills[0].chunks[0].slot
        return any(each.losses for each in self.alive if each.slot == slot)

    def _check_preempted(self, sequence: Sequence) -> None:
        running = [each for each in self.alive if each.slot >= 0]
        assert running
        assert all(each.order < sequence.order for each in running)

    def _check_order(self, step: Step) -> None:
        """Nobody starts before others, unless those wait for blocks that are being computed."""
        started = {start.sequence for start in step.starts}
        orders = [each.order for each in self.alive if each.number in started]
        for sequence in self.alive:
            if sequence.state is State.WAITING and any(sequence.order < each for each in orders):
                size = self.rules.block_size
                assert sequence.hashes is not None
                assert any(
                    each.state is State.PREFILLING
                    and each.prompt.adapter == sequence.prompt.adapter
                    and each.tokens[:size] == sequence.tokens[:size]
                    for each in self.alive
                )

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), fails=st.integers(0, 20))
    def finish_step(self, data: st.DataObject, fails: int) -> None:
        step, outcomes = self.under_way.pop(0)
        if fails == 20 and outcomes:
            slot = data.draw(st.sampled_from(sorted(outcomes)))
            outcomes[slot] = Outcome(error=ExecutionFailed("m: broken"))
        self._tell(self.scheduler.step_done(step, outcomes, self.now))

    @precondition(lambda self: not self.under_way)
    @rule(steps=st.integers(1, 12), ahead=st.booleans())
    def go_on(self, steps: int, ahead: bool) -> None:
        for _ in range(steps):
            if not self.under_way:
                self.begin_step()
            if not self.under_way:
                return
            if ahead:
                self.send_ahead()
            step, outcomes = self.under_way.pop(0)
            self._tell(self.scheduler.step_done(step, outcomes, self.now))
            self.hold_together()

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), how=st.integers(0, 3))
    def cancel(self, data: st.DataObject, how: int) -> None:
        if how:
            return  # most callers stay
        sequence = data.draw(st.sampled_from(self.alive))
        output = self.scheduler.cancel(sequence)
        assert output is not None
        assert sequence.slot == -1
        self._tell([output])
        assert self.scheduler.cancel(sequence) is None

    @rule(how=st.integers(0, 3))
    def lose_agent(self, how: int) -> None:
        if how:
            return  # agents are lost rarely
        step = self.under_way[0][0] if self.under_way else Step(0)
        slots = {chunk.slot for call in step.prefills for chunk in call.chunks}
        slots |= set(step.decode.slots if step.decode else ())
        computed = [each for each in self.alive if each.slot in slots]
        ended = {each for each in computed if each.losses >= self.rules.recoveries}
        outputs = self.scheduler.lost(AgentLost("m: gone"), self.now)
        self._tell(outputs)
        failed = {each.sequence for each in outputs if each.finish is Finish.ERROR}
        assert failed == ended
        for step, outcomes in self.under_way:
            assert self.scheduler.step_done(step, outcomes, self.now) == []
        self.under_way.clear()
        self.agent = SimulatedAgent(self.rules, self.agent.known)

    @rule(seconds=st.integers(1, 5))
    def pass_time(self, seconds: int) -> None:
        due = self.scheduler.due_at()
        self.now += seconds
        outputs = self.scheduler.tick(self.now)
        assert bool(outputs) == (due is not None and due <= self.now)
        self._tell(outputs)

    def _tell(self, outputs: list[Output]) -> None:
        for output in outputs:
            assert output.sequence not in self.ended, "something is told after the end"
            self.told[output.sequence] += output.tokens
            if output.finish is not None:
                self.ended[output.sequence] = output.finish
                assert output.sequence.finish is output.finish

    @invariant()
    def hold_together(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        running = [each for each in self.alive if each.slot >= 0]
        slots = [each.slot for each in running]
        assert len(set(slots)) == len(slots)
        assert all(0 <= slot < self.rules.slots for slot in slots)
        assert self.scheduler.running == len(running)
        assert self.scheduler.waiting == len(self.alive) - len(running)
        used = {block for each in running for block in each.blocks}
        assert self.scheduler.blocks_used == len(used)
        for sequence in running:
            assert len(sequence.blocks) >= self.rules.blocks_of(sequence.computed)
            assert sequence.tokens[len(sequence.prompt.tokens) :] == self.told[sequence]
        assert all(not each.blocks and each.slot == -1 for each in self.ended)
        deadlines = [each.prompt.deadline.at for each in self.alive if each.prompt.deadline]
        assert self.scheduler.due_at() == min(deadlines, default=None)

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        # The first in order makes progress in every step, so so many steps are enough.
        most = 4 * sum(each.most_tokens for each in self.alive) + 4
        while self.under_way or self.alive:
            if not self.under_way:
                self.begin_step()
            step, outcomes = self.under_way.pop(0)
            self._tell(self.scheduler.step_done(step, outcomes, self.now))
            self.hold_together()
            most -= 1
            assert most, "somebody starves"
        assert self.scheduler.schedule(self.now) is None
        assert self.scheduler.due_at() is None
        assert self.scheduler.blocks_used == 0
        for sequence, tokens in self.told.items():
            plain, finish = continue_plainly(sequence.prompt, sequence.most_tokens)
            if self.ended[sequence] in {Finish.STOP, Finish.LENGTH}:
                assert (tokens, self.ended[sequence]) == (plain, finish)
            else:
                assert tokens == plain[: len(tokens)]


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
