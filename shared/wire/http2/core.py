"""(pure) One HTTP/2 connection without I/O: bytes in, callbacks out, bytes to send collected.

The peer's frames come in here; what we send is ``outgoing``. Both roles. The peer
controls nothing without a limit: frame sizes, header bytes, streams, windows, and how
many frames that cost us more than them it may send.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from shared.wire.http2 import frames as f
from shared.wire.http2.blocks import Block, BlockReader
from shared.wire.http2.frames import Code
from shared.wire.http2.handler import Handler
from shared.wire.http2.headers import BadHeaders, HeaderReader
from shared.wire.http2.incoming import IncomingWindow
from shared.wire.http2.limits import Limits, ProtocolFault
from shared.wire.http2.nuisance import Nuisance
from shared.wire.http2.opening import check_preface, opening
from shared.wire.http2.outgoing import OpenStream, Outgoing

Parsed = TypeVar("Parsed")
_SMALL_UPDATE = 1024
_RESET_COSTS = 3
_FAREWELL = b"farewell"


class Connection(Outgoing, Generic[Parsed]):
    """A connection's state. ``take_output`` after each call that may have made some."""

    def __init__(
        self,
        handler: Handler[Parsed],
        reader: HeaderReader[Parsed],
        *,
        is_client: bool,
        limits: Limits,
    ) -> None:
        super().__init__(handler.on_drained, stream_window=limits.stream_window)
        self._handler = handler
        self._reader = reader
        self._is_client = is_client
        self._limits = limits
        self._buffer = b""
        self._preface_missing = not is_client
        self._last_peer_stream = 0
        self._blocks = BlockReader(limits.max_header_bytes)
        self._incoming = IncomingWindow(limits.connection_window)
        self.nuisance = Nuisance(limits.max_nuisance)
        self._farewell = False
        self.closing = False
        self._others: dict[int, Callable[[int, int, bytes], None]] = {
            f.HEADERS: self._headers,
            f.WINDOW_UPDATE: self._window_update,
            f.RST_STREAM: self._rst_stream,
            f.SETTINGS: self._settings,
            f.PING: self._ping,
            f.GOAWAY: self._goaway,
            f.CONTINUATION: self._continuation,
            f.PUSH_PROMISE: self._push_promise,
        }
        self._output.extend(opening(limits, is_client=is_client))

    def consumed(self, number: int, count: int) -> bool:
        """``count`` bytes of a stream are done with: the peer may send as many more.

        Returns whether it is to be told so.
        """
        told = False
        if more := self._incoming.consumed(count):
            self._output.append(f.window_update_frame(0, more))
            told = True
        stream = self._streams.get(number)
        if stream is None or stream.ended_by_peer:
            return told
        if more := stream.incoming.consumed(count):
            self._output.append(f.window_update_frame(number, more))
            told = True
        return told

    def say_farewell(self) -> None:
        """Announce the end; streams already on their way are taken until the peer has heard."""
        if not self.closing and not self._farewell:
            self._farewell = True
            self._output.append(f.goaway_frame(f.LARGEST_WINDOW, Code.NO_ERROR))
            self._output.append(f.frame(f.PING, 0, 0, _FAREWELL))

    def go_away(self, code: Code = Code.NO_ERROR, reason: str = "") -> None:
        """Take no new streams; those that are open go on."""
        if not self.closing or code:
            self.closing = True
            self._output.append(f.goaway_frame(self._last_peer_stream, code, reason.encode()))

    # What the peer sends.

    def receive(self, data: bytes) -> None:
        """Work on bytes of the peer; raises ProtocolFault, after which nothing may follow."""
        if self._buffer:
            data = self._buffer + data
        at = 0
        if self._preface_missing:
            check_preface(data)
            if len(data) < len(f.PREFACE):
                self._buffer = data
                return
            self._preface_missing = False
            at = len(f.PREFACE)
        size = len(data)
        while size - at >= f.HEAD_BYTES:
            length, kind, flags, number = f.read_head(data, at)
            if length > self._limits.frame_bytes:
                raise ProtocolFault(Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            end = at + f.HEAD_BYTES + length
            if end > size:
                break
            self._frame(kind, flags, number, data[at + f.HEAD_BYTES : end])
            at = end
        self._buffer = data[at:] if at else data

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._blocks.number:
            self._blocks.check(kind, number)
        if kind == f.DATA:
            self._data(flags, number, payload)
        elif kind in self._others:
            self._others[kind](flags, number, payload)
        else:
            # PRIORITY says nothing to us, and unknown frames are to be ignored.
            self.nuisance.add()

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        self._check_began(number)
        size = len(payload)
        stream = self._streams.get(number)
        if stream is not None:
            stream.incoming.charge(size, "its window allows")
        self._incoming.charge(size, "all windows allow")
        if stream is None or stream.ended_by_peer:
            # It crossed our reset; its bytes still count on the connection.
            self.consumed(number, size)
            self.nuisance.add()
            return
        content = f.without_padding(payload, flags)
        if content is None:
            raise ProtocolFault(Code.PROTOCOL_ERROR, "more padding than payload")
        end = bool(flags & f.END_STREAM)
        if not content and not end:
            self.nuisance.add()
        if len(content) < len(payload):
            self.consumed(number, len(payload) - len(content))
        if end:
            self._ended_by_peer(number, stream)
        self._handler.on_data(number, content, end=end)

    def _headers(self, flags: int, number: int, payload: bytes) -> None:
        block = self._blocks.begin(flags, number, payload)
        if block is None:
            self.nuisance.add()
        else:
            self._header_block(block)

    def _continuation(self, flags: int, number: int, payload: bytes) -> None:
        block = self._blocks.go_on(flags, payload)
        self.nuisance.add()
        if block is not None:
            self._header_block(block)

    def _header_block(self, block: Block) -> None:
        try:
            # Always read, whatever becomes of the stream: blocks build on one another.
            parsed = self._reader.read(block.content)
        except BadHeaders as failure:
            raise ProtocolFault(Code.COMPRESSION_ERROR, str(failure)) from failure
        number, end = block.number, block.end_stream
        stream = self._streams.get(number)
        if stream is None:
            if self._is_client or number <= self._last_peer_stream:
                self._check_began(number)
                self.nuisance.add()
                return
            stream = self._accept(number)
            if stream is None:
                return
        elif stream.ended_by_peer:
            raise ProtocolFault(Code.STREAM_CLOSED, "headers after the end of a stream")
        elif not self._is_client and not end:
            raise ProtocolFault(Code.PROTOCOL_ERROR, "trailers that do not end the stream")
        self.nuisance.forgive()
        if end:
            self._ended_by_peer(number, stream)
        self._handler.on_headers(number, parsed, end=end)

    def _accept(self, number: int) -> OpenStream | None:
        if number % 2 == 0:
            raise ProtocolFault(Code.PROTOCOL_ERROR, "a stream number that is not a client's")
        self._last_peer_stream = number
        if self.closing or len(self._streams) >= self._limits.max_streams:
            self._output.append(f.rst_stream_frame(number, Code.REFUSED_STREAM))
            self.nuisance.add()
            return None
        return self._begin(number)

    def _ended_by_peer(self, number: int, stream: OpenStream) -> None:
        stream.ended_by_peer = True
        if stream.ended_by_us:
            self._streams.pop(number, None)

    def _push_promise(self, flags: int, number: int, payload: bytes) -> None:
        raise ProtocolFault(Code.PROTOCOL_ERROR, "nobody asked for a push")

    def _window_update(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ProtocolFault(Code.FRAME_SIZE_ERROR, "a malformed WINDOW_UPDATE")
        by = f.read_uint32(payload) & f.LARGEST_WINDOW
        if number == 0:
            exhausted = self._send_window <= 0
            self._send_window += by
            if by == 0 or self._send_window > f.LARGEST_WINDOW:
                raise ProtocolFault(Code.FLOW_CONTROL_ERROR, "a window outside its bounds")
            if exhausted:
                # Each opening is a walk over what waits: one for a few bytes is a nuisance.
                if by < _SMALL_UPDATE:
                    self.nuisance.add()
                self._pump_blocked()
            return
        self._check_began(number)
        stream = self._streams.get(number)
        if stream is None:
            self.nuisance.add()
            return
        stream.send_window += by
        if by == 0 or stream.send_window > f.LARGEST_WINDOW:
            self.reset(number, Code.FLOW_CONTROL_ERROR)
            self._handler.on_reset(number, Code.FLOW_CONTROL_ERROR)
            # As dear to us as a reset of the peer's own (CVE-2025-8671).
            self.nuisance.add(_RESET_COSTS)
        elif stream.waiting is not None:
            self._pump(number, stream)
        else:
            self.nuisance.note()

    def _rst_stream(self, flags: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ProtocolFault(Code.FRAME_SIZE_ERROR, "a malformed RST_STREAM")
        self._check_began(number)
        # A reset costs its sender nothing and us the work that had begun (CVE-2023-44487).
        self.nuisance.add(1 if self._is_client else _RESET_COSTS)
        if self._streams.pop(number, None) is not None:
            self._blocked.pop(number, None)
            self._handler.on_reset(number, f.read_uint32(payload))

    def _settings(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) % 6 or (flags & f.ACK and payload):
            raise ProtocolFault(Code.FRAME_SIZE_ERROR, "a malformed SETTINGS frame")
        self.nuisance.add()
        if flags & f.ACK:
            return
        settings = f.read_settings(payload)
        if len(settings) > self._limits.max_settings:
            raise ProtocolFault(Code.ENHANCE_YOUR_CALM, "too many settings in one frame")
        # Of those that repeat the last one: each may cost a walk over all streams.
        for setting, value in dict(settings).items():
            self._obey(setting, value)
        self._output.append(f.frame(f.SETTINGS, f.ACK, 0))

    def _ping(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) != 8:
            raise ProtocolFault(Code.FRAME_SIZE_ERROR, "a malformed PING")
        self.nuisance.add()
        if flags & f.ACK:
            if self._farewell and payload == _FAREWELL:
                self.go_away()
        else:
            self._output.append(f.frame(f.PING, f.ACK, 0, bytes(payload)))

    def _goaway(self, flags: int, number: int, payload: bytes) -> None:
        if number or len(payload) < 8:
            raise ProtocolFault(Code.FRAME_SIZE_ERROR, "a malformed GOAWAY")
        self.nuisance.add()
        if self._is_client:
            self.closing = True
        self._handler.on_goaway(
            f.read_uint32(payload) & f.LARGEST_WINDOW, f.read_uint32(payload, 4)
        )

    def _check_began(self, number: int) -> None:
        """Refuse frames of streams that nobody has begun."""
        if self._is_client:
            idle = number >= self._next_stream or number % 2 == 0
        else:
            idle = number > self._last_peer_stream or number % 2 == 0
        if idle or number == 0:
            raise ProtocolFault(Code.PROTOCOL_ERROR, f"a frame of stream {number}, which is idle")
