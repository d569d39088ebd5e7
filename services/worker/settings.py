"""What a worker can be told."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from services.worker.batching.policy import BatchingPolicy
from services.worker.servable.policy import VersionPolicy
from services.worker.servable.wanted import Wanted
from shared.settings import (
    Address,
    Addresses,
    Count,
    Names,
    OptionalAddress,
    Seconds,
    ServiceSettings,
)


def _check_servables(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        Wanted.parse(text)
    return texts


def _check_policy(text: str) -> str:
    VersionPolicy.parse(text)
    return text


class WorkerSettings(ServiceSettings):
    """Runs servables: batches requests, runs Python stages, hands batches to its agents."""

    service: ClassVar[str] = "worker"

    masters: Addresses = ("127.0.0.1:6100",)
    """Masters to register with; a DNS name stands for every address it resolves to."""
    listen: Address = "127.0.0.1:6200"
    """Where masters call and agents register."""
    advertise: OptionalAddress = ""
    """Where masters shall call; empty for the listen address as they see this worker."""
    clients_address: OptionalAddress = ""
    """Where clients may call this worker itself, past every master; empty for nowhere."""
    max_message_mb: Annotated[int, Field(ge=1, le=512)] = 100
    """Largest request that a client may send there, in MiB."""
    request_timeout_seconds: Seconds = 300.0
    """Time that a request gets there whose client set no deadline."""
    max_request_timeout_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Most time that a request gets there, whatever its client asked for; 0 for no limit."""
    metrics_address: OptionalAddress = ""
    """Where Prometheus scrapes; empty for nowhere."""
    vllm_metric_names: bool = False
    """Tell the figures of language models by vLLM's names, too."""
    servable_directory: Path = Path("servables")
    """Folder with NAME/servable_config.py and numbered version folders."""
    servables: Annotated[Names, AfterValidator(_check_servables)] = ()
    """Servables to serve as NAME or NAME:VERSION; empty for every one found."""
    version_policy: Annotated[str, AfterValidator(_check_policy)] = "latest:1"
    """Versions of a servable to serve when none was named: latest:N, or all."""
    watch_seconds: Annotated[float, Field(ge=0)] = 0.0
    """How often to look for version folders that came or went; 0 for never."""
    fail_fast: bool = False
    """End, saying why, when a method does not fit the models that agents loaded at first."""
    min_agents: Count = 1
    """Agents (of a distributed model: gangs) that must hold a servable version before it is offered
    to masters."""
    agents_at_start: Annotated[int, Field(ge=0)] = 0
    """As many of them before it is offered for the first time, when more than that."""
    rank_table: Path | None = None
    """Where the ranks of a distributed model run: JSON, as launchers of agents ask for it."""
    wait_agents_seconds: Annotated[float, Field(ge=0)] = 0.0
    """How long to wait for the first gang of a distributed model, and then to end; 0: for ever."""
    gang_start_seconds: Seconds = 600.0
    """A gang that takes longer to start is ended, and started again."""
    gang_call_seconds: Seconds = 10.0
    """A gang that takes longer for one batch is ended, and started again."""
    compare_ranks: bool = False
    """Have all ranks of the last stage return outputs, and see that these are equal."""
    max_calls: Count = 10000
    """Requests in progress at most; more are refused."""
    max_queued_rows: Count = 10000
    """Rows that may wait for one model; more are refused."""
    max_batch_size: Count = 32
    """Rows of one batch at most, for models whose batch dimension is dynamic."""
    max_queue_delay_seconds: Annotated[float, Field(ge=0)] | None = None
    """How long rows are held back for company while every agent is busy; none: until one is not."""
    priority_levels: Annotated[int, Field(ge=1, le=100)] = 3
    """Levels that requests may ask for; 1 is the highest."""
    default_priority_level: Annotated[int, Field(ge=0)] = 0
    """The level of requests that ask for none; 0 for the middle one."""
    priority_aging_seconds: Seconds = 10.0
    """So long a wait makes up for one level, so that nobody waits for ever."""
    stage_threads: Count = 4
    """Threads that run Python stages, where there are no processes for them."""
    stage_processes: Annotated[int, Field(ge=0, le=64)] = 0
    """Processes that run Python stages, so that these use several cores and may crash; 0 for
    threads of this one."""
    pipeline_threads: Count = 32
    """Pipelines (of versions 1.3 and 1.4) that run at a time; each waits on a thread for what it
    calls."""
    stage_hang_seconds: Seconds = 30.0
    """How long a stage's function may go on after its caller has left, in a process of its own."""

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if self.default_priority_level > self.priority_levels:
            raise ValueError("default_priority_level is larger than priority_levels")
        return self

    @property
    def batching(self) -> BatchingPolicy:
        """How models are batched that declare nothing else."""
        return BatchingPolicy(
            max_queued_rows=self.max_queued_rows,
            max_queue_delay_seconds=self.max_queue_delay_seconds,
            priority_levels=self.priority_levels,
            default_priority_level=self.default_priority_level,
            priority_aging_seconds=self.priority_aging_seconds,
        )
