"""What a front door is told, checked in the original's words: address, size, TLS files."""

from pathlib import Path
from typing import Any

from shared.addresses import HostPort
from shared.wire.tls import ServerTls, TlsFault, content, server_context

GRPC, RESTFUL, DISTRIBUTED = "Serving gRPC", "RESTful server", "Distributed gRPC"
_MAX_MESSAGE_MB = 512
_MAX_PORT = 65535
_FAILED = "Serving Error: {} server start failed, create server failed, address "
GRPC_FAILED, DISTRIBUTED_FAILED = _FAILED.format(GRPC), _FAILED.format(DISTRIBUTED)


class SSLConfig:
    """Files (PEM) with which a server is called over TLS.

    certificate, private_key: the server's own, the key without a password.
    custom_ca: authorities of clients; used, and needed, with ``verify_client``.
    verify_client: whether clients must show a certificate.
    Raises RuntimeError for arguments that do not fit together.
    """

    def __init__(
        self,
        certificate: str,
        private_key: str,
        custom_ca: str | None = None,
        verify_client: bool = False,
    ) -> None:
        check_text("certificate", certificate)
        check_text("private_key", private_key)
        if not isinstance(verify_client, bool):
            raise RuntimeError(
                f"Parameter 'verify_client' should be bool, but actually {type(verify_client)}"
            )
        if custom_ca is not None or verify_client:
            check_text("custom_ca", custom_ca)
        self.certificate = certificate
        self.private_key = private_key
        self.custom_ca = custom_ca
        self.verify_client = verify_client

    def tls(self) -> ServerTls:
        """The files that a server needs; raises RuntimeError that names one it cannot use."""
        key, certificate = Path(self.private_key), Path(self.certificate)
        for file, mark, failure in (
            (key, b"PRIVATE KEY-----", "load private_key from"),
            (certificate, b"CERTIFICATE-----", "load certificate_chain from"),
        ):
            try:
                usable = mark in content(file)
            except TlsFault:
                usable = False
            if not usable:
                raise RuntimeError(f"Serving Error: {failure} {file} failed")
        authorities = self.custom_ca if self.verify_client else None
        tls = ServerTls(certificate, key, Path(authorities) if authorities else None)
        try:
            server_context(tls)
        except TlsFault as fault:
            odd = "does not belong" in str(fault)
            reason = "private_key is not consistent with certificate" if odd else str(fault)
            raise RuntimeError(f"Serving Error: {reason}") from None
        return tls


def check_front(tag: str, address: Any, max_msg_mb_size: Any) -> None:
    """Refuse an address or a size that cannot be used; raises RuntimeError.

    tag: ``GRPC`` or ``RESTFUL``, as messages name it.
    """
    check_text("address", address)
    if not address.startswith("unix:"):
        check_address(tag, address)
    elif tag == RESTFUL:
        raise RuntimeError("RESTful server does not support binding to unix domain socket")
    elif address == "unix:":
        raise RuntimeError("Serving Error: Empty grpc server unix domain socket address")
    if not isinstance(max_msg_mb_size, int) or isinstance(max_msg_mb_size, bool):
        raise RuntimeError(
            f"Parameter 'max_msg_mb_size' should be int, but actually {type(max_msg_mb_size)}"
        )
    if not 1 <= max_msg_mb_size <= _MAX_MESSAGE_MB:
        raise RuntimeError(
            f"Parameter 'max_msg_mb_size' should be in range [1,{_MAX_MESSAGE_MB}],"
            f" but actually {max_msg_mb_size}"
        )


def check_address(tag: str, address: str) -> None:
    """Refuse what is not HOST:PORT; raises RuntimeError in the words for the tag."""
    illegal = f"Serving Error: The format of the {tag} address '{address}' is illegal"
    host, colon, port = address.rpartition(":")
    if not colon:
        raise RuntimeError(f"{illegal}, expected HOST:PORT")
    if not host or not port:
        raise RuntimeError(f"{illegal}. Missing ip or port")
    if not (port.isascii() and port.isdigit()):
        raise RuntimeError(f"{illegal}, port is not a number")
    if not 1 <= int(port[:6]) <= _MAX_PORT:
        raise RuntimeError(
            f"The port of the {tag} address '{address}' is out of legal range [1 ~ {_MAX_PORT}]"
        )
    try:
        HostPort.parse(address)
    except ValueError:
        if tag == RESTFUL:
            raise RuntimeError(illegal) from None
        raise RuntimeError(f"{_FAILED.format(tag)}{address}: expected HOST:PORT") from None


def joined_address(ip: Any, name: str, port: Any) -> str:
    """``IP:PORT`` of the two parameters that older versions had; raises RuntimeError."""
    check_text("ip", ip)
    if not isinstance(port, int) or isinstance(port, bool):
        raise RuntimeError(f"Parameter '{name}' should be int, but actually {type(port)}")
    if not 1 <= port <= _MAX_PORT:
        raise RuntimeError(f"Parameter '{name}' should be in range [1,{_MAX_PORT}]")
    return f"{ip}:{port}"


def check_text(name: str, value: Any) -> None:
    """Refuse what is no text, or empty; raises RuntimeError."""
    if not isinstance(value, str):
        raise RuntimeError(f"Parameter '{name}' should be str, but actually {type(value)}")
    if not value:
        raise RuntimeError(f"Parameter '{name}' should not be empty str")
