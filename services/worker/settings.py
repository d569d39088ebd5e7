"""What a worker can be told."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

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
    metrics_address: OptionalAddress = ""
    """Where Prometheus scrapes; empty for nowhere."""
    servable_directory: Path = Path("servables")
    """Folder with NAME/servable_config.py and numbered version folders."""
    servables: Annotated[Names, AfterValidator(_check_servables)] = ()
    """Servables to serve as NAME or NAME:VERSION; empty for every one found."""
    version_policy: Annotated[str, AfterValidator(_check_policy)] = "latest:1"
    """Versions of a servable to serve when none was named: latest:N, or all."""
    watch_seconds: Annotated[float, Field(ge=0)] = 0.0
    """How often to look for version folders that came or went; 0 for never."""
    min_agents: Count = 1
    """Agents that must hold a servable version before it is offered to masters."""
    max_calls: Count = 10000
    """Requests in progress at most; more are refused."""
    max_queued_rows: Count = 10000
    """Rows that may wait for one model; more are refused."""
    max_batch_size: Count = 32
    """Rows of one batch at most, for models whose batch dimension is dynamic."""
    stage_threads: Count = 4
    """Threads that run Python stages, where there are no processes for them."""
    stage_processes: Annotated[int, Field(ge=0, le=64)] = 0
    """Processes that run Python stages, so that these use several cores and may crash; 0 for
    threads of this one."""
    stage_hang_seconds: Seconds = 30.0
    """How long a stage's function may go on after its caller has left, in a process of its own."""
