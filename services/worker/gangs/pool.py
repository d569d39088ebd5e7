"""The gangs of one distributed model, as the queue and the worker see them."""

import asyncio
import itertools
from collections.abc import Callable, Sequence

from services.worker.agents.progress import Standing
from services.worker.agents.taken import REST_SECONDS
from services.worker.gangs.formation import Formation
from services.worker.gangs.live import LiveGang
from services.worker.gangs.step_line import GangLine
from shared.arena import Column
from shared.errors import InvalidRequest, Refused, ServingError
from shared.membership import Holding, ModelSignature
from shared.servable import Distribution, ServableVersion
from shared.stage_graph import ModelCall
from shared.tensors import Array


class GangPool:
    """Lends gangs out; in the place of ``Agents`` for the one version that they serve.

    ``idle`` hears that a gang may be idle.
    """

    def __init__(
        self,
        formation: Formation,
        distribution: Distribution,
        *,
        idle: Callable[[ServableVersion], None],
    ) -> None:
        self.formation = formation
        self.what = formation.what
        self.distribution = distribution
        pipelined = distribution.enable_pipeline_infer
        self._batches_at_once = distribution.stage_size if pipelined else 1
        self._idle = idle
        self._uses = itertools.count(1)

    @property
    def absence(self) -> str:
        """Why no gang serves."""
        return self.formation.progress

    def __len__(self) -> int:
        return len(self.formation.serving)

    def holding(self, what: ServableVersion) -> int:
        """How many gangs serve."""
        del what
        return len(self)

    def step_lines(self, what: ServableVersion) -> dict[str, GangLine]:
        """The ways to the gangs that serve, ready for steps of a language model, by epoch."""
        del what
        serving = self.formation.serving
        return {str(gang.epoch): GangLine(self.formation, gang) for gang in serving}

    @property
    def device_type(self) -> str:
        """Of the agents of ranks; empty when none of them has told."""
        return self.formation.device_type

    def standings(self, what: ServableVersion) -> list[Standing]:
        """How far the gangs are."""
        ready = Standing(Holding(what, "ready"), serves_another=False)
        loading = Standing(Holding(what, "loading", self.absence), serves_another=False)
        return [ready] * len(self) or [loading]

    def signatures(self, what: ServableVersion) -> dict[str, ModelSignature]:
        """What a gang takes and gives; nothing until one has served."""
        del what
        signature = self.formation.signature
        return {} if signature is None else {signature.key: signature}

    def forget(self, what: ServableVersion) -> None:
        """The version is served no more."""
        del what
        self.formation.close()

    def max_rows(self, what: ServableVersion, model: str) -> int:
        """Rows of one batch at most; 0 until a gang has served."""
        signature = self.signatures(what).get(model)
        return 0 if signature is None else signature.batch_size

    def take_idle(self, what: ServableVersion) -> "TakenGang | None":
        """The least busy gang that can begin another batch, now taken."""
        able = [gang for gang in self.formation.serving if gang.in_hand < self._batches_at_once]
        if not able:
            return None
        gang = min(able, key=lambda each: (each.in_hand, each.last_used))
        gang.last_used = next(self._uses)
        gang.in_hand += 1
        return TakenGang(self, gang, what)

    def take_ahead(self, what: ServableVersion) -> None:
        """No batch waits at a gang: one that is withdrawn at some ranks alone would end it."""
        del what

    def give_back(self, gang: LiveGang, what: ServableVersion) -> None:
        """A batch is over."""
        gang.in_hand -= 1
        self.formation.given_back(gang)
        self._idle(what)


class TakenGang:
    """A gang taken for one batch."""

    waits = False

    def __init__(self, pool: GangPool, gang: LiveGang, what: ServableVersion) -> None:
        self._pool = pool
        self._gang = gang
        self._what = what
        self._rests = False

    async def execute(self, call: ModelCall, columns: Sequence[Column], rows: int) -> list[Array]:
        """See ``LiveGang.execute``; a gang that failed is ended."""
        try:
            return await self._gang.execute(call, columns, rows)
        except InvalidRequest:
            raise
        except Refused:
            self._rests = True
            raise
        except ServingError as failure:
            self._pool.formation.refuse(self._gang, failure.message)
            raise

    def release(self) -> None:
        """Give the gang back; one that refused rests first."""
        if self._rests:
            loop = asyncio.get_running_loop()
            loop.call_later(REST_SECONDS, self._pool.give_back, self._gang, self._what)
        else:
            self._pool.give_back(self._gang, self._what)
