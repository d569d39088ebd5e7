"""Whom a client calls and how: checked arguments, and channels made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from protos.ms_service import ms_service_pb2 as pb
from shared.urgency import HIGHEST_PRIORITY
from shared.wire.predict_service import PRIORITY_KEY

PREDICT_PATH = "/mindspore.serving.proto.MSService/Predict"
_MAX_MESSAGE_BYTES = 512 * 1024 * 1024
VERSION_LABEL_KEY = "x-version-label"
_MAX_PORT = 65535
CHANNEL_OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
)


Metadata = tuple[tuple[str, str], ...]


class SSLConfig:
    """Files (PEM) for a TLS connection.

    certificate, private_key: the client's own, both or neither.
    custom_ca: whom to trust instead of the system's authorities.
    Raises RuntimeError for arguments that do not fit together.
    """

    def __init__(
        self,
        certificate: str | None = None,
        private_key: str | None = None,
        custom_ca: str | None = None,
    ) -> None:
        for name, value in (
            ("certificate", certificate),
            ("private_key", private_key),
            ("custom_ca", custom_ca),
        ):
            if value is not None:
                check_text(name, value)
        if (certificate is None) != (private_key is None):
            raise RuntimeError("The certificate and private_key should be passed at the same time")
        self.certificate = certificate
        self.private_key = private_key
        self.custom_ca = custom_ca

    def credentials(self) -> grpc.ChannelCredentials:
        """The files' contents, as gRPC wants them; raises OSError for one it cannot read."""
        return grpc.ssl_channel_credentials(
            root_certificates=_content(self.custom_ca),
            private_key=_content(self.private_key),
            certificate_chain=_content(self.certificate),
        )


def _content(file: str | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()


def check_text(name: str, value: object) -> None:
    """Refuse what is no text, or empty; raises RuntimeError."""
    if not isinstance(value, str):
        raise RuntimeError(f"Parameter '{name}' should be str, but actually {type(value)}")
    if not value:
        raise RuntimeError(f"Parameter '{name}' should not be empty str")


@dataclass(frozen=True, slots=True)
class Target:
    """A method of a servable at an address."""

    address: str
    servable_name: str
    method_name: str
    version_number: int
    ssl_config: SSLConfig | None
    version_label: str | None = None

    @property
    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """What requests carry beside the message: the version's label, if one was given."""
        return () if self.version_label is None else ((VERSION_LABEL_KEY, self.version_label),)

    def spec(self) -> pb.ServableSpec:
        """The target as requests carry it."""
        return pb.ServableSpec(
            name=self.servable_name,
            method_name=self.method_name,
            version_number=self.version_number,
        )


def target_of(
    address: object,
    servable_name: object,
    method_name: object,
    version_number: object = 0,
    ssl_config: object = None,
    *,
    version_label: object = None,
) -> Target:
    """Check what a client was given; raises RuntimeError in the original's words."""
    for name, value in (
        ("address", address),
        ("servable_name", servable_name),
        ("method_name", method_name),
    ):
        check_text(name, value)
    assert isinstance(address, str)
    assert isinstance(servable_name, str)
    assert isinstance(method_name, str)
    if not isinstance(version_number, int) or isinstance(version_number, bool):
        raise RuntimeError(
            f"Parameter 'version_number' should be int, but actually {type(version_number)}"
        )
    if version_number < 0:
        raise RuntimeError("Parameter 'version_number' should be >= 0")
    if ssl_config is not None and not isinstance(ssl_config, SSLConfig):
        raise RuntimeError("The type of ssl_config should be type of SSLConfig")
    if version_label is not None:
        check_text("version_label", version_label)
        assert isinstance(version_label, str)
        if not (version_label.isascii() and version_label.isprintable()):
            raise RuntimeError(
                "Parameter 'version_label' should be printable ASCII, but actually"
                f" {version_label!r}"
            )
        if version_number:
            raise RuntimeError(
                "Parameters 'version_number' and 'version_label' should not both be given"
            )
    return Target(address, servable_name, method_name, version_number, ssl_config, version_label)


def metadata_of(priority: object) -> Metadata:
    """What travels beside a request; raises RuntimeError for what is no priority level."""
    if priority is None:
        return ()
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise RuntimeError(f"Parameter 'priority' should be int, but actually {type(priority)}")
    if priority < HIGHEST_PRIORITY:
        raise RuntimeError(f"Parameter 'priority' should be >= {HIGHEST_PRIORITY}")
    return ((PRIORITY_KEY, str(priority)),)


def target_by_port(
    ip: object,
    port: object,
    servable_name: object,
    method_name: object,
    version_number: object = 0,
    *,
    version_label: object = None,
) -> Target:
    """The arguments of versions 1.1 and 1.2; raises RuntimeError in the original's words."""
    check_text("ip", ip)
    if not isinstance(port, int) or isinstance(port, bool):
        raise RuntimeError(f"Parameter 'port' should be int, but actually {type(port)}")
    if not 1 <= port <= _MAX_PORT:
        raise RuntimeError(f"Parameter 'port' should be in range [1,{_MAX_PORT}]")
    return target_of(
        f"{ip}:{port}", servable_name, method_name, version_number, version_label=version_label
    )
