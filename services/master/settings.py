"""What the master can be told."""

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from shared.settings import Address, Count, OptionalAddress, Seconds, ServiceSettings
from shared.wire.tls import ServerTls


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
    tls_certificate: Path | None = None
    """The certificate (PEM) that clients are shown; none: they are served in plain text."""
    tls_key: Path | None = None
    """The certificate's key (PEM), without a password."""
    tls_client_ca: Path | None = None
    """Authorities (PEM) of clients; with it, clients must show a certificate of theirs."""
    max_connection_age_seconds: Annotated[float, Field(ge=0)] = 0.0
    """A client's connection that gets older is made anew, so that clients spread; 0 for never."""
    request_timeout_seconds: Seconds = 300.0
    """Time that a request gets whose client set no deadline."""

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key come together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca is of no use without tls_certificate and tls_key")
        return self

    @property
    def tls(self) -> ServerTls | None:
        """Whether clients are served over TLS, and with which files."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return ServerTls(self.tls_certificate, self.tls_key, self.tls_client_ca)
