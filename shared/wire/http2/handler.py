"""(pure) What a connection without I/O tells the shell around it."""

from typing import Protocol, TypeVar

Parsed_contra = TypeVar("Parsed_contra", contravariant=True)


class Handler(Protocol[Parsed_contra]):
    """What happens on a connection."""

    def on_headers(self, stream: int, parsed: Parsed_contra, *, end: bool) -> None:
        """A header block has come: the first of a stream, or its trailers."""

    def on_data(self, stream: int, data: bytes, *, end: bool) -> None:
        """Data has come. Whoever keeps it says ``consumed`` when it is done with it."""

    def on_reset(self, stream: int, code: int) -> None:
        """The peer ended a stream."""

    def on_drained(self, stream: int) -> None:
        """Everything given to ``send_data`` for this stream is on its way."""

    def on_goaway(self, last_stream: int, code: int) -> None:
        """The peer will answer no stream after ``last_stream``."""
