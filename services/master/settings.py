"""What the master can be told."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from services.master.labels import parse_labels
from shared.addresses import HostPort
from shared.settings import (
    Address,
    Count,
    FrontAddress,
    Names,
    OptionalAddress,
    Seconds,
    ServiceSettings,
)
from shared.wire.tls import ServerTls


def _on_loopback(address: str) -> str:
    return f"127.0.0.1{address}" if address.startswith(":") else address


AdminAddress = Annotated[OptionalAddress, AfterValidator(_on_loopback)]
"""HOST:PORT or :PORT, which is on the loopback; or empty for none."""


def _check_labels(texts: tuple[str, ...]) -> tuple[str, ...]:
    parse_labels(texts)
    return texts


class MasterSettings(ServiceSettings):
    """The front door: admits requests, routes them to workers, forwards them undecoded."""

    service: ClassVar[str] = "master"

    listen: FrontAddress = "127.0.0.1:5500"
    """Where clients call: HOST:PORT, or unix:PATH for those of this host."""
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
    rest_address: OptionalAddress = ""
    """Where clients call with JSON over HTTP/1.1; empty for nowhere."""
    rest_max_message_mb: Annotated[int, Field(ge=1, le=512)] = 100
    """Largest body that a client of the RESTful entrance may send, in MiB."""
    rest_max_connections: Count = 10000
    """Connections of the RESTful entrance at most; the next one gets 503 and is closed."""
    rest_gzip_from_bytes: Annotated[int, Field(ge=0)] = 16384
    """Answers of so many bytes are compressed for clients that accept gzip; 0 for none."""
    rest_json_hang_seconds: Seconds = 30.0
    """A process that takes longer than this over one large body or answer is ended: it hangs."""
    rest_status: Literal["honest", "compat"] = "honest"
    """honest: a failed request has a status that says so; compat: 200, as in the original."""
    rest_tls_certificate: Path | None = None
    """The certificate (PEM) of the RESTful entrance; none: HTTP in plain text."""
    rest_tls_key: Path | None = None
    """Its key (PEM), without a password."""
    rest_tls_client_ca: Path | None = None
    """Authorities (PEM) of its clients; with it, they must show a certificate of theirs."""
    rest_api_key_file: Path | None = None
    """A file whose one line clients of the RESTful entrance must send as a bearer token, but for
    health; none: nobody is asked."""
    text_model: str = ""
    """The language model of clients that name none, as TGI's; empty: the only one there is."""
    labels: Annotated[Names, AfterValidator(_check_labels)] = ()
    """Version labels as SERVABLE:LABEL=VERSION[@WEIGHT]; requests that name no version go by the
    weights."""
    admin_address: AdminAddress = ""
    """Where operators load, unload and label versions, :PORT for the loopback; empty for nowhere.
    Elsewhere than on the loopback operators must show certificates."""
    admin_rest_address: AdminAddress = ""
    """The same with JSON over HTTP/1.1; empty for nowhere."""
    admin_tls_certificate: Path | None = None
    """The certificate (PEM) that operators are shown, at both addresses; none: plain text."""
    admin_tls_key: Path | None = None
    """Its key (PEM), without a password."""
    admin_tls_client_ca: Path | None = None
    """Authorities (PEM) of operators; with it, they must show a certificate of theirs."""
    admin_open: bool = False
    """Take orders of whoever reaches the addresses, even from other hosts."""
    admin_timeout_seconds: Seconds = 600.0
    """How long an operator's load or unload is waited for; it goes on after that."""
    max_connection_age_seconds: Annotated[float, Field(ge=0)] = 0.0
    """A client's connection that gets older is made anew, so that clients spread; 0 for never."""
    request_timeout_seconds: Seconds = 300.0
    """Time that a request gets whose client set no deadline."""
    max_request_timeout_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Most time that a request gets, whatever its client asked for; 0 for no limit."""

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        _check_files("", self.tls_certificate, self.tls_key, self.tls_client_ca)
        _check_files("rest_", self.rest_tls_certificate, self.rest_tls_key, self.rest_tls_client_ca)
        _check_files(
            "admin_", self.admin_tls_certificate, self.admin_tls_key, self.admin_tls_client_ca
        )
        if not self.rest_address and self.rest_tls_certificate is not None:
            raise ValueError("rest_tls_certificate is of no use without rest_address")
        return self

    @model_validator(mode="after")
    def _check_who_gives_orders(self) -> Self:
        addresses = list(filter(None, (self.admin_address, self.admin_rest_address)))
        if not addresses and self.admin_tls_certificate is not None:
            raise ValueError(
                "admin_tls_certificate is of no use without admin_address or admin_rest_address"
            )
        if self.admin_open or self.admin_tls_client_ca is not None:
            return self
        for each in addresses:
            if not HostPort.parse(each).is_loopback:
                raise ValueError(
                    f"whoever reaches {each} from other hosts could load and unload: expected an"
                    " address of the loopback, or admin_tls_client_ca (with admin_tls_certificate"
                    " and admin_tls_key), or admin_open in a network of your own"
                )
        return self

    def read_rest_api_key(self) -> str:
        """The key, or "" for none; raises OSError or ValueError naming the file."""
        if self.rest_api_key_file is None:
            return ""
        key = self.rest_api_key_file.read_text(encoding="utf-8").strip()
        if not key or not key.isascii() or not key.isprintable():
            raise ValueError(f"{self.rest_api_key_file}: expected one line of ASCII, the key")
        return key

    @property
    def tls(self) -> ServerTls | None:
        """Whether clients are served over TLS, and with which files."""
        return _tls(self.tls_certificate, self.tls_key, self.tls_client_ca)

    @property
    def admin_tls(self) -> ServerTls | None:
        """Whether operators are served over TLS, and with which files."""
        return _tls(self.admin_tls_certificate, self.admin_tls_key, self.admin_tls_client_ca)

    @property
    def rest_tls(self) -> ServerTls | None:
        """Whether the RESTful entrance is HTTPS, and with which files."""
        return _tls(self.rest_tls_certificate, self.rest_tls_key, self.rest_tls_client_ca)


def _check_files(
    prefix: str, certificate: Path | None, key: Path | None, client_ca: Path | None
) -> None:
    if (certificate is None) != (key is None):
        raise ValueError(f"{prefix}tls_certificate and {prefix}tls_key come together")
    if client_ca is not None and certificate is None:
        raise ValueError(
            f"{prefix}tls_client_ca is of no use without"
            f" {prefix}tls_certificate and {prefix}tls_key"
        )


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> ServerTls | None:
    if certificate is None or key is None:
        return None
    return ServerTls(certificate, key, client_ca)
