"""(pure) The rules by which a scheduler decides; each can be switched by itself."""

from dataclasses import dataclass

from services.worker.generation.buckets import Bucket, Buckets

_AT_LEAST_ONE = (
    "slots", "context", "blocks", "block_size", "chunk_tokens", "max_prefill_batch", "max_waiting",
    "transfer_tokens", "vocabulary",
)  # fmt: skip
_AT_LEAST_NONE = ("call_tokens", "speculated_tokens", "spare_blocks", "recoveries")


@dataclass(frozen=True, slots=True)
class SchedulerRules:
    """What the device has, and how it is shared among sequences; checked when made."""

    slots: int
    """How many sequences run at once: the rows of the largest decode batch."""
    context: int
    """How many tokens a sequence may have, prompt and completion together."""
    blocks: int
    """How many blocks of KV cache the device has."""
    prefill_buckets: tuple[Bucket, ...]
    """The graphs for prompts, chunks of them and tokens to be verified."""
    decode_buckets: tuple[Bucket, ...]
    """The graphs for one new token of each row, whose rows are the slots from 0 on."""
    vocabulary: int = 2**31
    """How many token ids there are."""
    block_size: int = 16
    """Tokens of a block."""
    token_budget: int = 256
    """The most tokens that one step computes; running sequences come first."""
    chunk_tokens: int = 128
    """The most tokens of one prompt that one step computes."""
    max_prefill_batch: int = 8
    """The most prompts in one call of a prefill graph; 1: each has a call of its own."""
    call_tokens: int = 16
    """What a call of a prefill graph costs beside its rows, in tokens of one row."""
    continuous: bool = True
    """Whether sequences start while others run; if not, a batch ends before the next starts."""
    length_fitted: bool = True
    """Whether the graphs for shorter texts are used, too."""
    ahead: bool = True
    """Whether a step that only decodes is sent while the one before it is under way."""
    prefix_cache: bool = True
    """Whether prompts share blocks; the copies of one prompt do in any case."""
    speculated_tokens: int = 0
    """The most tokens proposed to a sequence in one step; 0: no speculation."""
    transfer_tokens: int = 256
    """The most tokens whose cache one step takes in from another agent, or gives away."""
    spare_blocks: int = 0
    """How many blocks a sequence that starts beside others leaves for those to grow into."""
    recoveries: int = 1
    """How many losses of an agent that computes it a sequence survives; 0: it ends with it."""
    max_waiting: int = 256
    """How many sequences may wait; those that were preempted or lost their agent come on top."""
    handicaps: tuple[float, ...] = (0.0,)
    """How many seconds later than it came a sequence counts as come, by priority level.

    Level 0 is the default; levels beyond the last count as the last.
    """

    def __post_init__(self) -> None:
        for names, least in ((_AT_LEAST_ONE, 1), (_AT_LEAST_NONE, 0)):
            for name in names:
                if (value := getattr(self, name)) < least:
                    raise ValueError(f"{name}: expected at least {least}, got {value}")
        if self.token_budget <= self.slots:
            raise ValueError(
                f"token_budget: expected more than the {self.slots} slots, so that prompts are"
                f" computed while every slot decodes, got {self.token_budget}"
            )
        if not self.handicaps:
            raise ValueError("handicaps: expected at least one, for the default priority")
        if self._graphs(self.decode_buckets).fit(
            batch=self.slots, tokens=1, length=self.context
        ) is None:  # fmt: skip
            raise ValueError(
                f"decode_buckets: none has {self.slots} rows and length {self.context};"
                f" got {_shown(self.decode_buckets)}"
            )
        if self.prefill_graphs().widest(length=self.context) < 2:
            raise ValueError(
                f"prefill_buckets: none has more than one token and length {self.context};"
                f" got {_shown(self.prefill_buckets)}"
            )

    @property
    def capacity(self) -> int:
        """How many tokens a sequence can have that runs alone."""
        return min(self.context, self.blocks * self.block_size)

    @property
    def longest_chunk(self) -> int:
        """The most tokens of a sequence that one call computes, however long it is already."""
        return min(self.chunk_tokens, self.prefill_graphs().widest(length=self.context))

    @property
    def shortest_chunk(self) -> int:
        """The least tokens in the midst of a prompt for which a call is worth its while."""
        return min(self.longest_chunk, self.prefill_graphs().narrowest)

    def prefill_graphs(self) -> Buckets:
        """The prefill graphs that may be used."""
        return self._graphs(self.prefill_buckets)

    def decode_graphs(self) -> Buckets:
        """The decode graphs that may be used."""
        return self._graphs(self.decode_buckets)

    def _graphs(self, buckets: tuple[Bucket, ...]) -> Buckets:
        return Buckets(buckets, length_fitted=self.length_fitted)

    def blocks_of(self, tokens: int) -> int:
        """How many blocks so many tokens take."""
        return -(-tokens // self.block_size)

    def handicap(self, priority: int) -> float:
        """How many seconds later than it came a sequence of this level counts as come."""
        return self.handicaps[min(priority, len(self.handicaps) - 1)]


def _shown(buckets: tuple[Bucket, ...]) -> str:
    return ", ".join(str(tuple(bucket)) for bucket in buckets) or "none"
