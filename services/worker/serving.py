"""A servable version that a worker serves, from its load to its last request."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.worker.agents.agents import Agents
from services.worker.agents.progress import Progress, has_decoder, progress_of
from services.worker.batching.queue import BatchQueue
from services.worker.gangs.pool import GangPool
from services.worker.generation.language_serving import LanguageServing
from services.worker.graph.models import ModelStages
from services.worker.graph.plan import MethodPlan
from services.worker.servable.fits import check_fits
from services.worker.servable.loader import Loaded
from shared.membership import Offer, OfferedMethod
from shared.repository import VersionState
from shared.servable import Servable, ServableVersion
from shared.tasks import TaskScope

_BEGINNING = Progress(VersionState.LOADING, "")


@dataclass(slots=True, eq=False)
class Serving:
    """One servable version: its declaration, its queue, and whether it can be called."""

    loaded: Loaded
    holders: Agents | GangPool
    """Whoever holds its models."""
    queue: BatchQueue
    models: ModelStages
    plans: Mapping[str, MethodPlan]
    priority_levels: int
    """The most that any of its models has."""
    language: LanguageServing | None = None
    """Its language model, if it has one."""
    warm: bool = True
    """Whether whoever runs its functions has imported them."""
    keeps_trying: bool = False
    """Whether a failed load is tried again: what a worker starts with has nothing beside it."""
    progress: Progress = _BEGINNING
    """Of its load; READY from the first moment at which it can be called."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Its load has come to an end."""
    ready: bool = False
    retiring: bool = False
    closed: bool = False
    """It takes no request any more."""
    outstanding: int = 0
    unused: asyncio.Event = field(default_factory=asyncio.Event)
    offered: Mapping[str, OfferedMethod] = field(init=False)
    """The methods that clients may call; the others are for pipelines."""

    def __post_init__(self) -> None:
        """Methods do not change while it is served."""
        self.offered = {
            name: OfferedMethod(method.input_names, method.output_names)
            for name, method in self.servable.offered.items()
        }

    @property
    def what(self) -> ServableVersion:
        """Name and version."""
        return self.loaded.what

    @property
    def servable(self) -> Servable:
        """What its configuration declares."""
        return self.loaded.servable

    @property
    def state(self) -> VersionState:
        """What operators are told of it."""
        if self.retiring:
            return VersionState.RETIRING
        if self.progress.state is VersionState.READY and not self.ready:
            return VersionState.LOADING
        return self.progress.state

    def check_fits(self) -> None:
        """Raises LoadFailed when what is declared does not fit what agents have loaded."""
        signatures = self.holders.signatures(self.what)
        check_fits(self.servable, signatures)
        if self.language is not None:
            self.language.fit(signatures)

    def refresh_language(self) -> None:
        """Agents changed: its language model goes on with those that hold it now."""
        if self.language is not None:
            self.language.refresh(self.holders.step_lines(self.what))

    @property
    def is_continued(self) -> bool:
        """Whether texts are continued by one of those that hold it, if it is for texts."""
        return self.language is None or has_decoder(self.holders.standings(self.what))

    def progress_with(self, needed: int) -> Progress:
        """How far those are who hold it, so many of whom are needed at least."""
        decodes = self.language is not None
        return progress_of(self.holders.standings(self.what), needed, decodes=decodes)

    def advance(self, progress: Progress) -> None:
        """Its load is that far."""
        self.progress = progress
        failed = progress.state is VersionState.FAILED and not self.keeps_trying
        if failed or progress.state is VersionState.READY:
            self.settled.set()

    def offer(self, capacity: int, device_type: str) -> Offer:
        """What masters are told of it."""
        language = None if self.language is None else self.language.offer(device_type)
        return Offer(self.what, self.offered, capacity, language)

    def count(self, by: int) -> None:
        """Requests that use it come (+1) and go (-1)."""
        self.outstanding += by
        if not self.outstanding:
            self.unused.set()
        elif self.outstanding == by:
            self.unused.clear()


def language_of(
    loaded: Loaded, scope: TaskScope, handicaps: Sequence[float]
) -> LanguageServing | None:
    """The language model of what was loaded, if it has one; see ``SchedulerRules.handicaps``."""
    model = loaded.servable.language_model
    if model is None or loaded.language is None:
        return None
    return LanguageServing(loaded.what, model, loaded.language, scope, tuple(handicaps))
