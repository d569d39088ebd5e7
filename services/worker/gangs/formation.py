"""The agents that offer ranks, and the gangs that they form: the shell around ``Gangs``."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from services.worker.agents.execution import EXECUTION_PATH
from services.worker.gangs.fits import signature_of
from services.worker.gangs.gangs import End, Form, Gangs, Instruction
from services.worker.gangs.groups import Group, assigned_to, groups_of, meets, scheduler_at
from services.worker.gangs.live import LiveGang, RankAgent
from services.worker.gangs.rules import GangRules
from services.worker.metrics import Metrics
from shared.errors import AgentLost, InvalidRequest, LoadFailed, ServingError, Unavailable
from shared.membership import (
    Assigned,
    Assignment,
    Hello,
    Holding,
    Holdings,
    ModelSignature,
    Notice,
    Report,
)
from shared.servable import Distribution
from shared.tasks import TaskScope
from shared.wire.interface import Wire
from shared.wire.link import Link

log = structlog.get_logger()

_MAX_OUTSTANDING = 64


class Formation:
    """Observes who offers ranks (see ``MemberObserver``), starts gangs of them and ends gangs.

    ``notify`` sends a notice to a member, and ``expel`` ends a membership for a reason; its agent
    joins again. ``changed`` hears that a gang came or went, ``unfit`` why a gang could not load
    before any has served.
    """

    def __init__(
        self,
        wire: Wire,
        scope: TaskScope,
        metrics: Metrics,
        assigned: Assigned,
        distribution: Distribution,
        rules: GangRules,
        *,
        notify: Callable[[str, Notice], None],
        expel: Callable[[str, ServingError], None],
        changed: Callable[[], None],
        unfit: Callable[[LoadFailed], None],
    ) -> None:
        self._wire = wire
        self._scope = scope
        self._metrics = metrics
        self._assigned = assigned
        self.what = assigned.what
        self._distribution = distribution
        self._rules = rules
        self._notify = notify
        self._expel = expel
        self._changed = changed
        self._unfit = unfit
        self._gangs = Gangs(distribution.rank_size, start_seconds=rules.start_seconds)
        self._agents: dict[str, RankAgent] = {}
        self._live: dict[int, LiveGang] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._why_ended = ""
        self.signature: ModelSignature | None = None
        """What gangs take and give; None until one has served."""

    @property
    def serving(self) -> list[LiveGang]:
        """The gangs that take batches."""
        live = (self._live[gang.epoch] for gang in self._gangs if gang.serves)
        return [gang for gang in live if not gang.leaving]

    @property
    def ranks_there(self) -> int:
        """How many ranks have an agent."""
        return len({agent.rank for agent in self._agents.values() if agent.link.connected})

    @property
    def device_type(self) -> str:
        """Of the agents that are there; empty when none of them has told."""
        devices = (agent.hello.device for agent in self._agents.values())
        return next((device.type for device in devices if device is not None), "")

    @property
    def progress(self) -> str:
        """What keeps the next gang from serving."""
        for gang in self._gangs:
            if not gang.serves:
                ranks = enumerate(gang.members)
                slow = [str(rank) for rank, each in ranks if each not in gang.ready]
                return f"epoch {gang.epoch} starts, not ready yet: rank {', '.join(slow)}"
        missing = ", ".join(map(str, self._gangs.missing))
        waits = f"no agent yet for rank {missing}" if missing else "the next start is due soon"
        return f"{waits}; the last gang ended: {self._why_ended}" if self._why_ended else waits

    def joined(self, hello: Hello) -> Notice | None:
        """An agent offers a rank; raises InvalidRequest for one that there is not."""
        size = self._distribution.rank_size
        if hello.rank is None or hello.rank >= size:
            raise InvalidRequest(f"Invalid rank id {hello.rank}, rank size {size}")
        link = Link(
            self._wire,
            [hello.local_address, hello.address],
            EXECUTION_PATH,
            peer="the agent",
            max_outstanding=_MAX_OUTSTANDING,
            lost=AgentLost,
            changed=lambda: self._link_changed(hello.member_id, link),
        )
        task = self._scope.spawn(link.keep(), name=f"link to rank {hello.rank}")
        self._agents[hello.member_id] = RankAgent(hello, hello.rank, link, task)
        return None

    def reported(self, hello: Hello, report: Report) -> None:
        """An agent says how far it is with its rank."""
        agent = self._agents.get(hello.member_id)
        if agent is None or not isinstance(report, Holdings):
            return
        for holding in report.holdings:
            gang = self._live.get(holding.epoch)
            if gang is not None and agent in gang.agents:
                self._holds(gang, gang.agents.index(agent), holding)
        for gang in self.serving:
            if agent in gang.agents and gang.epoch not in [each.epoch for each in report.holdings]:
                # It drains: what is in the gang's hands may end well.
                gang.leaving = f"rank {agent.rank}: its agent is shutting down"
                self._changed()
                self.given_back(gang)

    def left(self, hello: Hello, reason: str) -> None:
        """The gang of an agent that left ends at once."""
        agent = self._agents.pop(hello.member_id, None)
        if agent is not None:
            self._act(self._gangs.left(hello.member_id, f"its agent left ({reason})", _now()))
            agent.close()

    def _link_changed(self, member: str, link: Link) -> None:
        agent = self._agents.get(member)
        if agent is None or agent.link is not link:
            return
        if link.connected:
            # What it still does for a gang that ended while it was out of reach is over.
            self._notify(member, Assignment())
            epoch = agent.hello.epoch
            self._act(self._gangs.joined(member, agent.rank, _now(), epoch=epoch))
            log.info("rank joined", rank=agent.rank, missing=self._gangs.missing)
        else:
            lost = "the connection to its agent broke"
            self._act(self._gangs.left(member, lost, _now()))

    def _holds(self, gang: LiveGang, rank: int, holding: Holding) -> None:
        agent = gang.agents[rank]
        member = agent.hello.member_id
        if holding.scheduler:
            self._meet(gang, rank, holding.scheduler)
        if holding.state == "failed":
            self._cannot(f"rank {rank}: {holding.detail}")
            self._act(self._gangs.failed(member, gang.epoch, holding.detail, _now()))
        elif holding.state == "ready" and not agent.models:
            agent.models = holding.models
            self._act(self._gangs.ready(member, gang.epoch, _now()))
            if self._gangs.serves(gang.epoch):
                self._begin(gang)

    def _begin(self, gang: LiveGang) -> None:
        """All ranks of a gang are ready: it serves if they fit together."""
        models = {rank: agent.models for rank, agent in enumerate(gang.agents)}
        try:
            signature = signature_of(self._assigned.models[0].key, gang.groups, models)
        except LoadFailed as failure:
            self.refuse(gang, failure.message)
            return
        files = self._assigned.models[0]
        if files.language is not None and self.signature not in (None, signature):
            # Texts that wait go by them.
            self.refuse(gang, "its graphs are not those of the gang before; start the worker anew")
            return
        # Others tell signatures apart by identity.
        if signature != self.signature:
            self.signature = signature
        self._why_ended = ""
        log.info("gang serves", what=str(self.what), epoch=gang.epoch)
        self._changed()

    def _act(self, instructions: Sequence[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Form():
                    self._form(instruction)
                case End():
                    self._end(instruction)
        if self._timer is not None:
            self._timer.cancel()
        due = self._gangs.due_at()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._tick)
        if instructions:
            self._changed()

    def _tick(self) -> None:
        if not self._closed:
            self._act(self._gangs.tick(_now()))

    def _form(self, form: Form) -> None:
        agents = [self._agents[member] for member in form.members]
        types = {agent.hello.device.type for agent in agents if agent.hello.device is not None}
        groups = groups_of(self._distribution, next(iter(types), "CPU"))
        gang = LiveGang(self.what, form.epoch, agents, groups, self._rules, self._metrics)
        self._live[form.epoch] = gang
        self._metrics.gang_starts.inc()
        log.info("gang starts", what=str(self.what), epoch=form.epoch, ranks=len(agents))
        try:
            self._check_devices(types)
        except LoadFailed as failure:
            # Later, because instructions are being followed now.
            asyncio.get_running_loop().call_soon(self.refuse, gang, failure.message)
            return
        for agent in agents:
            agent.models = ()
        for group in groups:
            leader = agents[group.leader].hello
            if meets(group, self._assigned, leader.device, self._rules.table.text):
                self._tell(gang, group, group.leader, scheduler_at(leader.address))
            else:
                for rank in group.ranks:
                    self._tell(gang, group, rank, "")

    def _check_devices(self, types: set[str]) -> None:
        """Raises LoadFailed when no such model can run on these devices."""
        if len(types) > 1:
            named = ", ".join(sorted(types))
            raise LoadFailed(f"ranks of one model are on devices of several types: {named}")
        self._rules.check(self._distribution, next(iter(types), "CPU"))

    def _meet(self, gang: LiveGang, leader: int, scheduler: str) -> None:
        """The leader of a group says where its ranks meet."""
        for group in gang.groups:
            if group.leader == leader and group not in gang.meeting:
                gang.meeting.add(group)
                for rank in group.ranks[1:]:
                    self._tell(gang, group, rank, scheduler)

    def _tell(self, gang: LiveGang, group: Group, rank: int, scheduler: str) -> None:
        assigned = assigned_to(
            rank,
            group,
            self._assigned,
            epoch=gang.epoch,
            rank_size=self._distribution.rank_size,
            scheduler=scheduler,
            rank_table=self._rules.table.text,
        )
        self._notify(gang.agents[rank].hello.member_id, Assignment((assigned,)))

    def _cannot(self, reason: str) -> None:
        if self.signature is None:
            self._unfit(LoadFailed(f"{self.what}: {reason}"))

    def refuse(self, gang: LiveGang, reason: str) -> None:
        """End a gang whose ranks do not fit together, or did not do as they were told."""
        self._cannot(reason)
        self._act(self._gangs.refused(gang.epoch, reason, _now()))

    def given_back(self, gang: LiveGang) -> None:
        """A gang has finished a batch."""
        if gang.leaving and not gang.in_hand:
            self.refuse(gang, gang.leaving)

    def _end(self, end: End) -> None:
        self._why_ended = end.reason
        log.warning("gang ended", what=str(self.what), epoch=end.epoch, reason=end.reason)
        self._metrics.gang_ends.inc()
        for member in end.members:
            self._notify(member, Assignment())
        self._live.pop(end.epoch).end(end.reason)

    def close(self) -> None:
        """The version is served no more: end its gangs; agents join whatever is served next."""
        self._closed = True
        for gang in list(self._live.values()):
            self._act(self._gangs.refused(gang.epoch, "it is unloaded", _now()))
        for member, agent in self._agents.items():
            agent.close()
            self._expel(member, Unavailable(f"{self.what} is unloaded"))
        self._agents.clear()


def _now() -> float:
    return asyncio.get_running_loop().time()
