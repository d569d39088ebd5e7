"""What an agent can be told."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from services.agent.keys import KeyFile
from shared.membership import GenerationRole
from shared.settings import Address, Names, OptionalAddress, Paths, Seconds, ServiceSettings


def _check_key_files(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        KeyFile.parse(text)
    return texts


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
    dec_keys: Annotated[Names, AfterValidator(_check_key_files), Field(repr=False)] = ()
    """Files with the keys of encrypted models, as SERVABLE=FILE or SERVABLE=FILE:AES-CBC (without
    a mode: AES-GCM). Each holds 16, 24 or 32 bytes and is read once; /dev/stdin is possible."""
    generation_role: GenerationRole = GenerationRole.BOTH
    """What it does for language models: both, prefill (it computes prompts, which agents that
    decode go on with) or decode (it continues texts; prompts only while nobody else computes
    them)."""
    rank: Annotated[int, Field(ge=0)] | None = None
    """The rank of its worker's distributed model that this agent runs; without one it runs what
    its worker assigns."""
    model_files: Paths = ()
    """This rank's file of the distributed model: a path, or a JSON array of the paths of its
    subgraphs, in order."""
    group_config_files: Paths = ()
    """This rank's group configuration, which Ascend's collectives read: a path, or a JSON array."""
    enable_lite: bool = False
    """Run MindIR models with MindSpore Lite as well, not only those of format MindIR_Lite."""
    first_load_must_succeed: bool = False
    """End with status 1 when the first models cannot be loaded, instead of trying again."""
    onednn_max_cpu_isa: str = "AVX2"
    """ONEDNN_MAX_CPU_ISA of device processes: other values make convolutions 100 times slower."""

    @model_validator(mode="after")
    def _check_rank(self) -> Self:
        if self.rank is not None and not self.model_files:
            raise ValueError("a rank needs model_files: its worker does not know them")
        if self.rank is None and (self.model_files or self.group_config_files):
            raise ValueError("model_files and group_config_files are of no use without a rank")
        if self.rank is not None and self.generation_role is not GenerationRole.BOTH:
            raise ValueError("a rank does both: generation_role is for agents without one")
        return self
