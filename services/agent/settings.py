"""What an agent can be told."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from shared.settings import Address, OptionalAddress, Seconds, ServiceSettings


class AgentSettings(ServiceSettings):
    """Owns one device and runs models on it for its worker."""

    service: ClassVar[str] = "agent"

    worker: Address = "127.0.0.1:6200"
    """The worker to register with."""
    device_type: Literal["CPU", "GPU", "Ascend"] = "CPU"
    """Kind of the device."""
    device_id: Annotated[int, Field(ge=0)] = 0
    """Number of the device on this host."""
    listen: Address = "127.0.0.1:0"
    """Where the worker calls; port 0 takes a free one."""
    local_socket: bool = True
    """Let a worker on this host use a Unix socket and shared memory."""
    metrics_address: OptionalAddress = ""
    """Where Prometheus scrapes; empty for nowhere."""
    hang_seconds: Seconds = 60.0
    """A device process that works longer on one batch is ended."""
    load_timeout_seconds: Seconds = 600.0
    """A device process that loads longer is ended."""
    onednn_max_cpu_isa: str = "AVX2"
    """ONEDNN_MAX_CPU_ISA of device processes: other values make convolutions 100 times slower."""
