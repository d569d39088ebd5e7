"""(pure) How requests in flight are spread over connections."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layout:
    """A closed loop's connections, and the requests that each keeps in flight."""

    connections: int
    streams: int

    @classmethod
    def parse(cls, text: str) -> "Layout":
        """``4x16``: 4 connections with 16 requests each. Raises ValueError."""
        connections, cross, streams = text.partition("x")
        if not cross or int(connections) < 1 or int(streams) < 1:
            raise ValueError(f"{text!r} is not CONNECTIONSxSTREAMS")
        return cls(int(connections), int(streams))

    @property
    def in_flight(self) -> int:
        return self.connections * self.streams

    def without_streams(self) -> "Layout":
        """As many requests in flight where a connection carries one at a time: HTTP/1.1."""
        return Layout(self.in_flight, 1)

    def __str__(self) -> str:
        return f"{self.connections}x{self.streams}"


def layouts_of(texts: tuple[str, ...], *, has_streams: bool) -> list[Layout]:
    """What a server is loaded with; without streams, as many in flight is the same load."""
    layouts = [Layout.parse(each) for each in texts]
    if has_streams:
        return layouts
    return list(dict.fromkeys(each.without_streams() for each in layouts))
