"""TLS of both wires: which files, and what keeps them from being used."""

import ssl
from dataclasses import dataclass
from pathlib import Path

HTTP2, HTTP1 = "h2", "http/1.1"
# TLS 1.2 with what RFC 9113 (appendix A) does not forbid; TLS 1.3 brings its own.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Who a server is, and whether its clients must say who they are; PEM files."""

    certificate: Path
    """The server's certificate, and those between it and the authority."""
    key: Path
    client_ca: Path | None = None
    """Authorities of clients; None lets everybody in."""


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Whom a client trusts, and who it is when the server asks; PEM files."""

    ca: Path | None = None
    """The server's authorities; None for those of the system."""
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    """The name in the server's certificate, when it is not the one in the address."""


@dataclass(frozen=True, slots=True)
class PeerTls:
    """Who a service is among the others, and whom it believes; PEM files."""

    certificate: Path
    key: Path
    ca: Path
    """Authorities of all services."""
    name: str = ""
    """What the certificates of others say; empty: the host of the address that is called."""

    @property
    def server(self) -> ServerTls:
        """Where it is called by them."""
        return ServerTls(self.certificate, self.key, self.ca)

    def client_of(self, address: str) -> ClientTls:
        """Where it calls one of them; a Unix socket is on this host."""
        name = self.name or ("localhost" if address.startswith("unix") else None)
        return ClientTls(self.ca, self.certificate, self.key, name)


class TlsFault(OSError):
    """Files that cannot be used, named."""


def server_context(tls: ServerTls, protocol: str = HTTP2) -> ssl.SSLContext:
    """For a server that speaks ``protocol``; raises TlsFault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    _strengthen(context, protocol)
    _load_own(context, tls.certificate, tls.key)
    if tls.client_ca is not None:
        _load_authorities(context, tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: ClientTls) -> ssl.SSLContext:
    """For a client; raises TlsFault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _strengthen(context, HTTP2)
    if tls.ca is None:
        context.load_default_certs()
    else:
        _load_authorities(context, tls.ca)
    if tls.certificate is not None and tls.key is not None:
        _load_own(context, tls.certificate, tls.key)
    elif tls.certificate is not None or tls.key is not None:
        raise TlsFault("a TLS certificate and its key come together")
    return context


def handshake_reason(failure: ssl.SSLError) -> str:
    """What a client says of a handshake that failed."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"the peer's certificate is not believed: {failure.verify_message}"
    if failure.reason == "WRONG_VERSION_NUMBER":
        return "the peer speaks no TLS"
    return f"TLS handshake: {failure.reason or failure}"


def content(file: Path) -> bytes:
    """What stands in a file; raises TlsFault."""
    try:
        return file.read_bytes()
    except OSError as failure:
        raise TlsFault(f"TLS file {file} cannot be read: {failure.strerror}") from None


def _strengthen(context: ssl.SSLContext, protocol: str) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols([protocol])


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    for file, mark in ((certificate, b"CERTIFICATE-----"), (key, b"PRIVATE KEY-----")):
        if mark not in content(file):
            raise TlsFault(f"TLS file {file} holds no {mark.strip(b'-').decode().lower()} (PEM)")
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except _EncryptedKey:
        raise TlsFault(
            f"TLS key {key} is encrypted; it must be stored without a password"
        ) from None
    except ssl.SSLError as failure:
        if failure.reason == "KEY_VALUES_MISMATCH":
            raise TlsFault(f"TLS key {key} does not belong to certificate {certificate}") from None
        reason = failure.reason or "malformed"
        raise TlsFault(f"TLS files {certificate} and {key} cannot be used: {reason}") from None


class _EncryptedKey(Exception):
    pass


def _refuse_password() -> str:
    """OpenSSL would ask at the terminal."""
    raise _EncryptedKey


def _load_authorities(context: ssl.SSLContext, file: Path) -> None:
    content(file)
    try:
        context.load_verify_locations(file)
    except ssl.SSLError as failure:
        reason = failure.reason or "malformed"
        raise TlsFault(f"TLS file {file} holds no authorities (PEM): {reason}") from None
