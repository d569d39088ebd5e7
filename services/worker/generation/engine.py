"""Has one agent continue texts, step after step: schedule, run, tell."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from services.worker.agents.taken import REST_SECONDS
from services.worker.generation.continuations import (
    Continuation,
    News,
    logprobs_of,
    tell_of_prompts,
)
from services.worker.generation.declared import Declared
from services.worker.generation.patience import Patience
from services.worker.generation.prompts import Prompt
from services.worker.generation.scheduler import Output, Scheduler
from services.worker.generation.sequences import Finish
from services.worker.generation.sequences import Sequence as Text
from services.worker.generation.sources import Source
from services.worker.generation.step_lines import StepLine, answer_of
from services.worker.generation.steps import Logprobs, Step
from services.worker.generation.steps_codec import read_outcomes, write_head, write_step
from services.worker.generation.transfers import Transfers
from shared.errors import AgentLost, InvalidRequest, PeerLost, Refused, ServingError
from shared.membership import GenerationRole
from shared.servable import ServableVersion
from shared.tasks import TaskScope

log = structlog.get_logger()

_NO_LOGPROBS: Mapping[int, tuple[Logprobs, ...]] = {}

Join = Callable[[Text], Continuation]


class Engine:
    """The texts of one agent, or of one that was lost until another one takes its place."""

    def __init__(
        self,
        what: ServableVersion,
        model: str,
        declared: Declared,
        scope: TaskScope,
        *,
        role: GenerationRole = GenerationRole.BOTH,
        stirred: Callable[[], None] = lambda: None,
    ) -> None:
        """``stirred`` is called before each step is planned."""
        self._now = asyncio.get_running_loop().time
        self._what = what
        self._model = model
        self._graphs = declared.graphs
        self._scope = scope
        self.role = role
        self.scheduler = Scheduler(str(what), declared.rules, hands_over=not role.decodes)
        self._transfers = Transfers(declared.token_bytes)
        self._stirred = stirred
        self._texts: dict[int, Continuation] = {}
        """By the numbers of their sequences."""
        self._slots: dict[int, Continuation] = {}
        self._untold: list[tuple[Continuation, News]] = []
        self._line: StepLine | None = None
        self._met: StepLine | None = None
        """Whose cache the scheduler knows."""
        self._forget = True
        self._woken = asyncio.Event()
        self._asked: list[asyncio.Task[bytes | ServingError]] = []
        """The step that is at work, and the one behind it."""
        self._agent = Patience(declared.patience_seconds)
        """For an agent that does what it is told."""
        self._takers = Patience(declared.patience_seconds)
        """For somebody who goes on with what it hands over."""
        self._cause: ServingError = AgentLost(f"{what}: its agent was lost")
        self._task = scope.spawn(self._work(), name=f"engine of {what}")

    @property
    def load(self) -> int:
        """How many texts it has."""
        return len(self._texts)

    def attach(self, line: StepLine) -> None:
        """An agent is there, which knows nothing of what was before."""
        self._line = line
        self._agent.find()
        self._woken.set()

    def detach(self) -> None:
        """The agent is there no more, or not ready; a step in its hands is lost."""
        self._line = None
        self._leave()
        self._agent.miss(self._now())
        self._woken.set()

    def close(self) -> None:
        """End; its texts went elsewhere, or nobody wants them."""
        self._task.cancel()
        self._leave()
        self._transfers.close()

    def _leave(self) -> None:
        """Nobody waits for the steps that were asked for."""
        for asked in self._asked:
            asked.cancel()

    def add(self, prompt: Prompt, joins: Sequence[Join]) -> list[Continuation]:
        """Continue a prompt, each copy as ``joins`` says.

        Raises InvalidRequest for what can never be continued, Overloaded when too many wait.
        """
        sequences = self.scheduler.add(prompt, self._now())
        added = [join(sequence) for join, sequence in zip(joins, sequences, strict=True)]
        self._texts |= {each.sequence.number: each for each in added}
        self._woken.set()
        return added

    def cancel(self, continuation: Continuation) -> None:
        """Nobody wants it any more: its slot and blocks are free in the next step."""
        self.scheduler.cancel(continuation.sequence, Finish.ABORT)
        self._texts.pop(continuation.sequence.number, None)
        self._woken.set()

    def has(self, continuation: Continuation) -> bool:
        """Whether it goes on here."""
        return self._texts.get(continuation.sequence.number) is continuation

    def adopt(self, continuation: Continuation) -> None:
        """Go on with a text of an engine whose agent was lost."""
        continuation.sequence = self.scheduler.adopt(continuation.sequence)
        self._texts[continuation.sequence.number] = continuation
        self._woken.set()

    def give_up(self) -> list[Continuation]:
        """Its texts, in their order, for other engines; who they belong to knows all so far."""
        self._note(self.scheduler.lost(self._cause, self._now()))
        self._tell()
        texts = sorted(self._texts.values(), key=lambda each: each.sequence.order)
        self._texts.clear()
        for text in texts:
            text.sequence.drop_source()
        return texts

    @property
    def held(self) -> list[Continuation]:
        """The texts that are to go on elsewhere, in their order."""
        return [self._texts[each.number] for each in self.scheduler.held]

    def lend(self, continuation: Continuation) -> Source | None:
        """Tell all that came of a held text, and give it to another engine; None: it has ended."""
        self._tell()
        if not self.has(continuation):
            return None
        del self._texts[continuation.sequence.number]
        return self.scheduler.lend(continuation.sequence, self._woken.set)

    def accept(self, continuation: Continuation, source: Source) -> None:
        """Go on with a text whose prompt another engine's agent computed."""
        source.heard = self._woken.set
        continuation.sequence = self.scheduler.accept(continuation.sequence, source)
        self._texts[continuation.sequence.number] = continuation
        self._woken.set()

    def have_takers(self, there: bool) -> None:
        """Whether there is anybody who goes on with what it hands over."""
        self._takers.see(self._now(), there=there)
        self._woken.set()

    async def _work(self) -> None:
        while True:
            self._woken.clear()
            self._meet()
            self._stirred()
            step = None if self._line is None else self.scheduler.schedule(self._now())
            if step is not None and self._line is not None:
                await self._run(self._line, step)
            else:
                self._tell()
                await self._wait()

    def _meet(self) -> None:
        """Know nothing of what another agent had in its cache."""
        if self._line is not self._met:
            self._met = self._line
            self._forget = True
            self._note(self.scheduler.lost(self._cause, self._now()))

    async def _run(self, line: StepLine, first: Step) -> None:
        """A step, and those that can be sent before the one before them is done."""
        self._ask(line, first)
        step: Step | None = first
        while step is not None:
            self._stirred()  # who comes from elsewhere finds a slot, however long others go on
            following = self.scheduler.schedule_ahead(self._now()) if line.takes_ahead else None
            if following is not None:
                self._ask(line, following)
            if self._untold:
                # The call is made in the loop's next turn, and written in the one after it.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                self._tell()
            await asyncio.wait(self._asked[:1])
            step = following if await self._take_in(step, self._asked.pop(0)) else None
        self._asked.clear()

    def _ask(self, line: StepLine, step: Step) -> None:
        for start in step.starts:
            self._slots[start.slot] = self._texts[start.sequence]
        message = write_step(step, self._graphs, self._slots, forget=self._forget)
        if step.exports or step.imports:
            # Parts of a message may follow one another.
            message += self._transfers.write(step, shares_memory=line.shares_memory)
        self._forget = False
        head = write_head(self._what, self._model, step)
        self._asked.append(self._scope.spawn(answer_of(line, head, message), name="step"))

    async def _take_in(self, step: Step, asked: asyncio.Task[bytes | ServingError]) -> bool:
        """What came of a step; False: it came to nothing."""
        try:
            if asked.cancelled():
                raise self._cause
            answer = asked.result()
            if isinstance(answer, ServingError):
                raise answer
            outcomes = read_outcomes(answer, step)
            self._transfers.deliver(step, answer)
        except ServingError as failure:
            await self._failed(failure)
            return False
        self._agent.find()
        tell_of_prompts(step, outcomes, self._slots)
        logprobs = logprobs_of(outcomes, self._slots)
        self._note(self.scheduler.step_done(step, outcomes, self._now()), logprobs)
        return True

    async def _failed(self, failure: ServingError) -> None:
        """A step came to nothing, and with it all that the agent kept; so will the one behind."""
        self._leave()
        log.info("step failed", what=str(self._what), reason=failure.message)
        self._forget = True
        self._cause = failure
        self._transfers.lose()
        self._agent.miss(self._now())
        # What was refused, or did not fit what came before, was not begun.
        began = not isinstance(failure, Refused | InvalidRequest)
        self._note(self.scheduler.lost(failure, self._now(), began=began))
        self._slots.clear()
        self._tell()
        if isinstance(failure, PeerLost | Refused | InvalidRequest):
            await asyncio.sleep(REST_SECONDS)
        if self._agent.is_over(self._now()):
            self._end_all()

    async def _wait(self) -> None:
        """Until something is to be done: nothing polls."""
        if self._line is not None:
            self._agent.find()  # nothing more is asked of it
        due = [self.scheduler.due_at()]
        if self._texts:
            due += [self._agent.ends_at, self._takers.ends_at]
        try:
            async with asyncio.timeout_at(min((at for at in due if at is not None), default=None)):
                await self._woken.wait()
        except TimeoutError:
            self._note(self.scheduler.tick(self._now()))
            if self._agent.is_over(self._now()):
                self._end_all()
            elif self._takers.is_over(self._now()):
                self._cause = AgentLost(f"{self._what}: no agent that decodes came back")
                self._end_all()

    def _end_all(self) -> None:
        """No agent came back in time."""
        for text in list(self._texts.values()):
            if self.scheduler.cancel(text.sequence, Finish.ERROR) is not None:
                self._untold.append((text, News((), Finish.ERROR, self._cause)))
        self._texts.clear()

    def _note(
        self,
        outputs: Sequence[Output],
        logprobs: Mapping[int, tuple[Logprobs, ...]] = _NO_LOGPROBS,
    ) -> None:
        """Keep what came, to be told while the next step is at work."""
        for output in outputs:
            sequence = output.sequence
            text = self._texts.get(sequence.number)
            if text is None:
                continue
            told = logprobs.get(sequence.number, ())[: len(output.tokens)]
            self._untold.append((text, News(output.tokens, output.finish, sequence.error, told)))
            if output.finish is not None:
                del self._texts[sequence.number]

    def _tell(self) -> None:
        untold, self._untold = self._untold, []
        for text, news in untold:
            text.tell(news)
