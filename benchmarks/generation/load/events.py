"""(pure) Server-sent events, put together out of what arrives."""

DONE = b"[DONE]"


class EventReader:
    """Takes bytes as they come; see https://html.spec.whatwg.org/multipage/server-sent-events.html.

    Only ``data`` is looked at.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that are complete by now."""
        data = self._rest + data
        if b"\r" in data:
            # The last one may be half of a line's end.
            held = data[-1:] if data.endswith(b"\r") else b""
            data = data.removesuffix(held) if held else data
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        *events, self._rest = data.split(b"\n\n")
        return [content for event in events if (content := _data_of(event)) is not None]


def _data_of(event: bytes) -> bytes | None:
    """The lines of data, joined; None where there are none, as in a comment."""
    lines = [
        line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")
    ]
    return b"\n".join(lines) if lines else None
