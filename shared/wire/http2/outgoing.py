"""(pure) The sending half of an HTTP/2 connection: what goes out, within the peer's windows.

What a window does not allow yet waits here, in its order, until the peer opens it.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from shared.wire.http2 import frames as f
from shared.wire.http2.frames import Code, Setting
from shared.wire.http2.incoming import IncomingWindow
from shared.wire.http2.limits import ProtocolFault

# Up to here a copy costs less than another frame.
_COPIED_BYTES = 16 << 10


@dataclass(slots=True)
class OpenStream:
    """A stream that at least one side has not ended."""

    send_window: int
    incoming: IncomingWindow
    ended_by_peer: bool = False
    ended_by_us: bool = False
    waiting: deque[tuple[memoryview, bool]] | None = None
    """Data that the peer's window does not allow yet, and whether it ends the stream."""
    trailers: bytes | None = None
    """Sent when nothing waits any more."""


class Outgoing:
    """Streams, windows and output. ``Connection`` inherits them: no call between the halves."""

    def __init__(self, on_drained: Callable[[int], None], *, stream_window: int) -> None:
        self._on_drained = on_drained
        self._stream_window = stream_window
        self._streams: dict[int, OpenStream] = {}
        self._blocked: dict[int, OpenStream] = {}
        self._next_stream = 1
        self._send_window = f.DEFAULT_WINDOW
        self._peer_initial_window = f.DEFAULT_WINDOW
        self._peer_frame_bytes = f.DEFAULT_FRAME_BYTES
        self.peer_max_streams = 1 << 31
        self._output: list[bytes | memoryview] = []

    @property
    def open_streams(self) -> int:
        """Streams that neither side has finished."""
        return len(self._streams)

    def is_open(self, stream: int) -> bool:
        """Whether more can happen on ``stream``."""
        return stream in self._streams

    def has_waiting(self, stream: int) -> bool:
        """Whether data of ``stream`` waits for the peer's window."""
        return stream in self._blocked

    def take_output(self) -> list[bytes | memoryview]:
        """What is to be written, in its order."""
        output, self._output = self._output, []
        return output

    def open_stream(self, block: bytes, *, end: bool) -> int:
        """Begin a stream (clients only); returns its number."""
        number = self._next_stream
        self._next_stream += 2
        self._begin(number).ended_by_us = end
        self._output.append(
            f.header_frames(number, block, end=end, frame_bytes=self._peer_frame_bytes)
        )
        return number

    def send_headers(self, number: int, block: bytes) -> None:
        """Send the first header block of an answer."""
        stream = self._streams.get(number)
        if stream is not None and not stream.ended_by_us:
            self._output.append(
                f.header_frames(number, block, end=False, frame_bytes=self._peer_frame_bytes)
            )

    def send_data(self, number: int, data: bytes, *, end: bool = False) -> bool:
        """Send data as far as the peer's windows allow; False when some of it waits."""
        stream = self._streams.get(number)
        if stream is None or stream.ended_by_us:
            return True
        if stream.waiting is None and len(data) <= min(
            stream.send_window, self._send_window, self._peer_frame_bytes
        ):
            stream.send_window -= len(data)
            self._send_window -= len(data)
            self._output.append(f.head(f.DATA, f.END_STREAM if end else 0, number, len(data)))
            self._output.append(data)
            if end:
                self._end_by_us(number, stream)
            return True
        if stream.waiting is None:
            stream.waiting = deque()
        stream.waiting.append((memoryview(data), end))
        self._pump(number, stream)
        return stream.waiting is None

    def send_message(
        self, number: int, prefix: bytes, message: bytes, *, end: bool = False
    ) -> bool:
        """Send a message behind its prefix; a large one is not copied for that."""
        if len(message) < _COPIED_BYTES:
            return self.send_data(number, prefix + message, end=end)
        self.send_data(number, prefix)
        return self.send_data(number, message, end=end)

    def send_trailers(self, number: int, block: bytes) -> None:
        """End our side of a stream with a header block, after all its data."""
        stream = self._streams.get(number)
        if stream is None or stream.ended_by_us:
            return
        if stream.waiting is not None:
            stream.trailers = block
            return
        self._output.append(
            f.header_frames(number, block, end=True, frame_bytes=self._peer_frame_bytes)
        )
        self._end_by_us(number, stream)

    def reset(self, number: int, code: Code) -> None:
        """End a stream at once."""
        if self._streams.pop(number, None) is not None:
            self._blocked.pop(number, None)
            self._output.append(f.rst_stream_frame(number, code))

    @property
    def stalled_bytes(self) -> int:
        """Bytes that wait for the peer's window."""
        return sum(
            len(data) for stream in self._blocked.values() for data, _ in stream.waiting or ()
        )

    def ping(self) -> None:
        """Ask the peer for a sign of life."""
        self._output.append(f.frame(f.PING, 0, 0, b"mindserv"))

    def _begin(self, number: int) -> OpenStream:
        # Until it has read our settings a peer may count on the protocol's own window.
        incoming = IncomingWindow(self._stream_window, f.DEFAULT_WINDOW)
        stream = self._streams[number] = OpenStream(self._peer_initial_window, incoming)
        return stream

    def _end_by_us(self, number: int, stream: OpenStream) -> None:
        stream.ended_by_us = True
        if stream.ended_by_peer:
            self._streams.pop(number, None)

    def _pump(self, number: int, stream: OpenStream) -> None:
        """Send what waits, as far as the windows allow."""
        waiting = stream.waiting
        assert waiting is not None
        while waiting:
            data, end = waiting[0]
            room = min(stream.send_window, self._send_window, self._peer_frame_bytes)
            if len(data) > max(room, 0) and room <= 0:
                self._blocked[number] = stream
                return
            part, rest = data[:room], data[room:]
            stream.send_window -= len(part)
            self._send_window -= len(part)
            flags = f.END_STREAM if end and not rest else 0
            self._output.append(f.head(f.DATA, flags, number, len(part)))
            self._output.append(part)
            if rest:
                waiting[0] = (rest, end)
                continue
            waiting.popleft()
            if end:
                self._end_by_us(number, stream)
        stream.waiting = None
        self._blocked.pop(number, None)
        if stream.trailers is not None:
            self.send_trailers(number, stream.trailers)
        self._on_drained(number)

    def _pump_blocked(self) -> None:
        for number, stream in list(self._blocked.items()):
            if self._send_window <= 0:
                return
            if stream.waiting is not None:
                self._pump(number, stream)

    def _obey(self, setting: int, value: int) -> None:
        """Send as the peer's setting wants it from now on."""
        if setting == Setting.INITIAL_WINDOW_SIZE:
            if value > f.LARGEST_WINDOW:
                raise ProtocolFault(Code.FLOW_CONTROL_ERROR, "a window outside its bounds")
            change, self._peer_initial_window = value - self._peer_initial_window, value
            for number, stream in list(self._streams.items()):
                stream.send_window += change
                if stream.send_window > f.LARGEST_WINDOW:
                    raise ProtocolFault(Code.FLOW_CONTROL_ERROR, "a window outside its bounds")
                if stream.waiting is not None and change > 0:
                    self._pump(number, stream)
        elif setting == Setting.MAX_FRAME_SIZE:
            if not f.DEFAULT_FRAME_BYTES <= value <= f.LARGEST_FRAME_BYTES:
                raise ProtocolFault(Code.PROTOCOL_ERROR, "a frame size outside its bounds")
            self._peer_frame_bytes = value
        elif setting == Setting.MAX_CONCURRENT_STREAMS:
            self.peer_max_streams = value
