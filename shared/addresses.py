"""Addresses as people write them: HOST:PORT or unix:PATH."""

import ipaddress
import re
from dataclasses import dataclass

_HOST_PORT = re.compile(
    r"^(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]:/\s]*)):(?P<port>\d{1,5})$"
)
_WILDCARDS = frozenset({"", "0.0.0.0", "::"})


@dataclass(frozen=True, slots=True)
class HostPort:
    """A TCP address. An empty host stands for one that the other side fills in."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Read ``HOST:PORT`` or ``[V6]:PORT``; raises ValueError naming what is wrong."""
        match = _HOST_PORT.match(text)
        if match is None:
            raise ValueError(
                f"{text!r} is not an address: expected HOST:PORT, for example 127.0.0.1:5500"
            )
        port = int(match["port"])
        if port > 65535:
            raise ValueError(f"{text!r}: port {port} is outside 0-65535")
        return cls(match["v6"] or match["host"] or "", port)

    @property
    def is_wildcard(self) -> bool:
        """Whether this listens everywhere and so names no host to call."""
        return self.host in _WILDCARDS

    @property
    def is_loopback(self) -> bool:
        """Whether this can be reached from its own host alone."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def as_seen_from_afar(self) -> "HostPort":
        """What a member says of itself: a wildcard host is left to those who see it."""
        return HostPort("" if self.is_wildcard else self.host, self.port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def is_this_host(peer_host: str | None) -> bool:
    """Whether a peer's IP address is of the loopback; "" is a Unix socket, None nobody knows."""
    if peer_host is None:
        return False
    return not peer_host or ipaddress.ip_address(peer_host.partition("%")[0]).is_loopback


def is_loopback(host: str) -> bool:
    """Whether a host is written as an IP address of the loopback, or as ``localhost``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
