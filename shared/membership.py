"""Who is a member right now: leases, with time as an argument."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shared.servable import LanguageGraphs, ModelOptions, ServableVersion
from shared.tensors import TensorSpec

DEFAULT_LEASE_SECONDS = 10.0
# A member reports this many times within a lease.
REPORTS_PER_LEASE = 5


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator or CPU that an agent owns."""

    type: str
    id: int


class GenerationRole(StrEnum):
    """What an agent does for language models."""

    BOTH = "both"
    PREFILL = "prefill"
    """It computes prompts, which agents that decode go on with."""
    DECODE = "decode"
    """It continues texts, and computes prompts when nobody else does."""

    @property
    def decodes(self) -> bool:
        """Whether it continues texts."""
        return self is not GenerationRole.PREFILL


@dataclass(frozen=True, slots=True)
class Hello:
    """How a member introduces itself."""

    member_id: str
    address: str
    local_address: str = ""
    device: Device | None = None
    rank: int | None = None
    """Of agents that hold one rank of a distributed model."""
    epoch: int = 0
    """The latest epoch that it heard of."""
    generation_role: GenerationRole = GenerationRole.BOTH


@dataclass(frozen=True, slots=True)
class OfferedMethod:
    """What a method takes and gives, by name and in order."""

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LanguageOffer:
    """What clients may know of a language model."""

    adapters: tuple[str, ...] = ()
    """Each can be asked for in the place of the servable."""
    max_model_len: int = 0
    """Tokens of prompt and completion together."""
    slots: int = 0
    """Sequences at work at once."""
    chat: bool = False
    """Whether it has a chat template."""
    created: int = 0
    """Seconds since 1970."""
    device_type: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A servable version that a worker serves, with its methods by name."""

    what: ServableVersion
    methods: Mapping[str, OfferedMethod]
    capacity: int
    language: LanguageOffer | None = None
    """Of language models."""


@dataclass(frozen=True, slots=True)
class Offers:
    """Everything a worker serves now; replaces what it said before."""

    offers: tuple[Offer, ...] = ()
    draining: bool = False


@dataclass(frozen=True, slots=True)
class SubgraphSignature:
    """What one subgraph takes and gives, batch dim included."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """What a loaded model takes, and how many rows at once."""

    key: str
    subgraphs: tuple[SubgraphSignature, ...]
    batch_size: int


@dataclass(frozen=True, slots=True)
class Holding:
    """How far an agent is with one servable version."""

    what: ServableVersion
    state: str
    """``loading``, ``ready`` or ``failed``."""
    detail: str = ""
    models: tuple[ModelSignature, ...] = ()
    epoch: int = 0
    """Of the gang that it is a part of; 0 for none."""
    scheduler: str = ""
    """HOST:PORT where the ranks of its group meet, told by the one that runs it."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """Everything an agent holds; replaces what it said before."""

    holdings: tuple[Holding, ...] = ()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life, with the load."""

    outstanding: int = 0


Report = Hello | Heartbeat | Offers | Holdings


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """One declared model as an agent must load it."""

    key: str
    format: str
    paths: tuple[str, ...]
    with_batch_dim: bool
    without_batch_dim_inputs: tuple[int, ...]
    max_batch_size: int
    options: ModelOptions = field(default_factory=ModelOptions)
    language: LanguageGraphs | None = None
    """Of language models, whose paths are its graphs."""


CHOOSING_RANK = 0
"""Of the ranks of a language model: it chooses the tokens, and the others are told."""


@dataclass(frozen=True, slots=True)
class GangPart:
    """The part of an agent in one start of a gang."""

    epoch: int
    rank: int
    rank_size: int
    group_rank: int
    """Its place among those that compute together."""
    group_size: int
    scheduler: str = ""
    """HOST:PORT where they meet; port 0: this agent runs it; empty: they need none."""
    rank_table: str = ""
    """JSON, as libraries of collectives read it."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """A servable version that an agent must hold."""

    what: ServableVersion
    models: tuple[ModelFiles, ...]
    gang: GangPart | None = None
    """None: this agent serves the models on its own."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Everything an agent must hold; replaces earlier assignments."""

    servables: tuple[Assigned, ...] = ()


@dataclass(frozen=True, slots=True)
class Welcome:
    """The registrar's answer to a Hello."""

    registrar_id: str
    lease_seconds: float


Notice = Welcome | Assignment


@dataclass(slots=True)
class Lease:
    """A member and the moment its lease ends."""

    hello: Hello
    ends_at: float


@dataclass(slots=True)
class MembershipTable:
    """The members of one registrar, by member id."""

    lease_seconds: float
    _leases: dict[str, Lease] = field(default_factory=dict)

    def join(self, hello: Hello, *, now: float) -> None:
        """Add a member, or renew one that joins again on a new stream."""
        self._leases[hello.member_id] = Lease(hello, now + self.lease_seconds)

    def renew(self, member_id: str, *, now: float) -> None:
        """Extend a lease; a member that is gone stays gone."""
        lease = self._leases.get(member_id)
        if lease is not None:
            lease.ends_at = now + self.lease_seconds

    def renew_all(self, *, now: float) -> None:
        """Extend every lease, because the registrar itself could not listen."""
        for member_id in self._leases:
            self.renew(member_id, now=now)

    def leave(self, member_id: str) -> None:
        """Remove a member at once."""
        self._leases.pop(member_id, None)

    def expired(self, *, now: float) -> list[str]:
        """Members that were silent for a whole lease."""
        return [name for name, lease in self._leases.items() if lease.ends_at <= now]

    def __contains__(self, member_id: str) -> bool:
        return member_id in self._leases

    def __iter__(self) -> Iterator[Hello]:
        return iter([lease.hello for lease in self._leases.values()])

    def __len__(self) -> int:
        return len(self._leases)
