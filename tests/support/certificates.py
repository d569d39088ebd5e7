"""Authorities and certificates that live as long as a test."""

from dataclasses import dataclass
from pathlib import Path

import trustme

from shared.wire.tls import ClientTls, ServerTls


@dataclass(frozen=True)
class Certificates:
    """PEM files: an authority's, those of a server on this host, those of a client."""

    ca: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path

    @property
    def server(self) -> ServerTls:
        """A server that lets everybody in."""
        return ServerTls(self.certificate, self.key)

    @property
    def picky_server(self) -> ServerTls:
        """A server that wants to see its clients' certificates."""
        return ServerTls(self.certificate, self.key, self.ca)

    @property
    def client(self) -> ClientTls:
        """A client that trusts this authority and says nothing of itself."""
        return ClientTls(self.ca)

    @property
    def named_client(self) -> ClientTls:
        """A client that says who it is."""
        return ClientTls(self.ca, self.client_certificate, self.client_key)


def make_certificates(folder: Path) -> Certificates:
    """A new authority in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    made = Certificates(
        *(folder / name for name in ("ca.pem", "server.pem", "server.key", "me.pem", "me.key"))
    )
    authority.cert_pem.write_to_path(str(made.ca))
    server = authority.issue_cert("localhost", "127.0.0.1")
    client = authority.issue_cert("client@example.org")
    for issued, certificate, key in (
        (server, made.certificate, made.key),
        (client, made.client_certificate, made.client_key),
    ):
        for blob in issued.cert_chain_pems:
            blob.write_to_path(str(certificate), append=True)
        issued.private_key_pem.write_to_path(str(key))
    return made
