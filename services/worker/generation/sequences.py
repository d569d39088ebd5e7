"""(pure) Sequences: texts that are being continued, and what is known of each."""

from dataclasses import replace
from enum import Enum

from services.worker.generation.hashes import BlockHashes
from services.worker.generation.prompts import Prompt
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.sources import Early, Fetch, Source
from services.worker.generation.speculate import PromptLookup
from shared.errors import ServingError


class State(Enum):
    """Where a sequence is between its arrival and its end."""

    WAITING = "waiting"
    PREFILLING = "prefilling"
    """It has a slot, and not all of its tokens are computed."""
    FETCHING = "fetching"
    """It has a slot, and the cache of its tokens comes from another agent."""
    DECODING = "decoding"
    """All of its tokens but the last are computed."""
    HELD = "held"
    """So far as decoding, but another agent is to go on with it."""
    LENT = "lent"
    """Another scheduler has it, and gets from here what was computed."""
    FINISHED = "finished"


class Finish(Enum):
    """Why a sequence ended."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"
    ERROR = "error"
    DEADLINE = "deadline"


class Sequence:
    """One text that is being continued; a scheduler changes it, others read."""

    __slots__ = (
        "blocks", "cached_tokens", "computed", "early", "error", "fetch", "finish", "hashes",
        "lookup", "losses", "most_tokens", "number", "preemptions", "prompt", "published", "slot",
        "source", "started_at", "state", "tokens", "turn",
    )  # fmt: skip

    def __init__(
        self,
        prompt: Prompt,
        rules: SchedulerRules,
        *,
        number: int,
        family: int,
        turn: float,
    ) -> None:
        self.number = number
        """Its place in the order of arrival."""
        self.prompt = prompt
        self.turn = turn
        """When it came, and later for lower priorities."""
        self.started_at: float | None = None
        """When it took a slot for the first time."""
        self.tokens = list(prompt.tokens)
        """The prompt's, then the completion's."""
        self.most_tokens = min(len(prompt.tokens) + prompt.limits.max_new_tokens, rules.capacity)
        self.state = State.WAITING
        self.slot = -1
        """The row it runs in; -1: it waits or ended."""
        self.computed = 0
        """How many of its tokens are in its slot's cache."""
        self.blocks: list[int] = []
        """The blocks that its tokens take, in order: the block table of a paged device."""
        self.published = 0
        """How many of them are full and may be shared."""
        self.hashes = _hashes_of(prompt, family, rules)
        """None: it shares nothing."""
        self.lookup = PromptLookup() if rules.speculated_tokens else None
        self.cached_tokens = 0
        """How many tokens of the prompt were loaded when it first started."""
        self.preemptions = 0
        self.losses = 0
        """How often the agent was lost while it computed this sequence."""
        self.source: Source | None = None
        """Where its cache is, if another agent computed it."""
        self.fetch: Fetch | None = None
        """What comes from there into its slot."""
        self.early: Early | None = None
        """What came of its cache from its own agent, for another one to go on with."""
        self.finish: Finish | None = None
        self.error: ServingError | None = None
        """Why it ended before its time, where that has an error."""

    @property
    def order(self) -> tuple[float, int]:
        """What sequences are ordered by, for slots and for blocks."""
        return self.turn, self.number

    @property
    def generated(self) -> int:
        """How many tokens its completion has."""
        return len(self.tokens) - len(self.prompt.tokens)

    def block_hashes(self) -> list[bytes]:
        """One for each full block of its tokens; none if it shares nothing."""
        return self.hashes.of(self.tokens) if self.hashes else []

    def drop_source(self) -> None:
        """Need nothing more of what another agent computed."""
        self.end_fetch()
        source, self.source = self.source, None
        if source is not None:
            source.release()

    def end_fetch(self) -> None:
        """Its slot is taken away, or nothing more is to come into it."""
        if self.fetch is not None:
            self.fetch.close()
            self.fetch = None
        if self.early is not None:
            self.early.close()
            self.early = None

    def as_prompt(self) -> Prompt:
        """What is left to be done, as a prompt: all tokens so far, and as many fewer to come."""
        limits, made = self.prompt.limits, self.generated
        left = replace(
            limits,
            max_new_tokens=limits.max_new_tokens - made,
            min_tokens=max(0, limits.min_tokens - made),
        )
        return replace(self.prompt, tokens=tuple(self.tokens), limits=left, copies=1)

    def append(self, tokens: tuple[int, ...]) -> tuple[tuple[int, ...], Finish | None]:
        """Continue the text up to its end; returns what was taken of it, and whether it ended."""
        limits = self.prompt.limits
        for count, token in enumerate(tokens, 1):
            self.tokens.append(token)
            if limits.stops_at(token, self.generated):
                return tokens[:count], Finish.STOP
            if len(self.tokens) >= self.most_tokens:
                return tokens[:count], Finish.LENGTH
        return tokens, None


def _hashes_of(prompt: Prompt, family: int, rules: SchedulerRules) -> BlockHashes | None:
    """What the blocks of a prompt's copies are known by; ``family`` is the first copy's number."""
    salt = prompt.salt
    if not rules.prefix_cache:
        if prompt.copies == 1:
            return None
        salt = f"{salt}:{family}"  # known to its copies alone
    return BlockHashes(rules.block_size, adapter=prompt.adapter, salt=salt)
