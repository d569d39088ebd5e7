"""What a master can be told."""

from typing import Annotated, ClassVar

from pydantic import Field

from shared.settings import Address, Count, OptionalAddress, Seconds, ServiceSettings


class MasterSettings(ServiceSettings):
    """The front door: admits client requests and forwards them to workers."""

    service: ClassVar[str] = "master"

    listen: Address = "127.0.0.1:5500"
    """Where clients call."""
    membership_address: Address = "127.0.0.1:6100"
    """Where workers register."""
    metrics_address: OptionalAddress = ""
    """Where Prometheus scrapes; empty for nowhere."""
    max_requests: Count = 10000
    """Requests in flight; one more is refused at once."""
    max_message_mb: Annotated[int, Field(ge=1, le=512)] = 100
    """Largest request, in MiB."""
    request_timeout_seconds: Seconds = 300.0
    """Deadline of requests whose client gave none."""
