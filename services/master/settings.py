"""What the master can be told."""

from typing import Annotated, ClassVar

from pydantic import Field

from shared.settings import Address, Count, OptionalAddress, Seconds, ServiceSettings


class MasterSettings(ServiceSettings):
    """The front door: admits requests, routes them to workers, forwards them undecoded."""

    service: ClassVar[str] = "master"

    listen: Address = "127.0.0.1:5500"
    """Where clients call."""
    reuse_port: bool = False
    """Let other masters listen at the same address; the kernel spreads clients over them."""
    membership_address: Address = "127.0.0.1:6100"
    """Where workers join."""
    metrics_address: OptionalAddress = ""
    """Where Prometheus reads metrics; empty for nowhere."""
    max_requests: Count = 10000
    """Requests in flight at most; the next one is refused at once."""
    max_message_mb: Annotated[int, Field(ge=1, le=512)] = 100
    """Largest request that a client may send, in MiB."""
    max_connection_age_seconds: Annotated[float, Field(ge=0)] = 0.0
    """A client's connection that gets older is made anew, so that clients spread; 0 for never."""
    request_timeout_seconds: Seconds = 300.0
    """Time that a request gets whose client set no deadline."""
