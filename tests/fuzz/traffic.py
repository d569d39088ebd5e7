"""What a peer may send: mostly HTTP/2 that makes sense, and now and then none."""

import gzip
import random
from collections.abc import Callable, Iterator, Sequence

import hpack

from shared.wire.http2 import frames as f
from shared.wire.http2 import grpc_messages
from shared.wire.http2.headers import HeaderWriter

ECHO, FAIL, SLOW = "/fuzz.Service/Echo", "/fuzz.Service/Fail", "/fuzz.Service/Slow"
TALK, IGNORE = "/fuzz.Service/Talk", "/fuzz.Service/Ignore"
PATHS = (ECHO, FAIL, SLOW, TALK, IGNORE, "/no.Such/Method")
_MOST_FRAMES = 60
_LONGEST_BODY = 20_000


class Spent(random.Random):
    """Draws from bytes, as a fuzzer gives them, and from a seed when they are used up."""

    def __init__(self, data: bytes, seed: int) -> None:
        super().__init__(seed)
        self._data = data
        self._at = 0

    def getrandbits(self, k: int) -> int:
        size = (k + 7) // 8
        part = self._data[self._at : self._at + size]
        if not part:
            return super().getrandbits(k)
        self._at += size
        return int.from_bytes(part, "big") >> max(0, len(part) * 8 - k)

    def random(self) -> float:
        return self.getrandbits(16) / (1 << 16)


class Traffic:
    """The bytes of one peer, drawn from ``rng``: a client's, or answers to ``calls`` calls."""

    def __init__(self, rng: random.Random, *, calls: int | None = None) -> None:
        self._rng = rng
        self._answers = calls is not None
        # Peers that keep the rules come further than those that break one in every tenth frame.
        self._wild = rng.choice((0.0, 0.0, 0.003, 0.02, 0.1))
        self._last = 2 * (calls or 0) - 1
        self._encoder = hpack.Encoder()
        self._writer = HeaderWriter()
        self._next = 1
        self._frames: Sequence[Callable[[], bytes]] = (
            *[self._headers] * 6, *[self._data] * 8, *[self._window_update] * 3,
            self._settings, self._ping, self._reset, self._go_away, self._other, self._noise,
        )  # fmt: skip

    def all_bytes(self) -> bytes:
        """All that the peer sends."""
        rng = self._rng
        parts = [] if self._answers or rng.random() < self._wild / 2 else [f.PREFACE]
        if rng.random() < 0.95:
            parts.append(f.settings_frame({}))
        parts += [self._frame() for _ in range(rng.randint(0, _MOST_FRAMES))]
        sent = b"".join(parts)
        if rng.random() < 0.1:
            sent = sent[: rng.randint(0, len(sent))]
        return sent

    def _frame(self) -> bytes:
        begins = not self._answers and self._next == 1
        made = self._headers() if begins else self._rng.choice(self._frames)()
        return self._spoilt(made) if made and self._rng.random() < self._wild else made

    def _spoilt(self, made: bytes) -> bytes:
        rng, spoilt = self._rng, bytearray(made)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(spoilt))
            spoilt[at] = rng.getrandbits(8)
        return bytes(spoilt[: rng.randint(1, len(spoilt))] if rng.random() < 0.2 else spoilt)

    def _stream(self) -> int:
        """Mostly one that is or was open."""
        rng = self._rng
        if rng.random() < self._wild:
            return rng.choice((0, 2, self._next + 2, f.LARGEST_WINDOW))
        if self._answers:
            return 2 * rng.randint(0, max(self._last, 0) // 2) + 1
        return max(1, self._next - 2 * rng.randint(1, 6)) | 1

    def _headers(self) -> bytes:
        rng = self._rng
        number = self._stream()
        flags = f.END_STREAM if rng.random() < (0.6 if self._answers else 0.15) else 0
        if not self._answers and (self._next == 1 or rng.random() < 0.8):
            number, self._next = self._next, self._next + 2
        elif not self._answers and rng.random() >= self._wild:
            flags = f.END_STREAM
        block = self._block()
        payload = block
        if rng.random() < 0.1:
            flags |= f.HAS_PRIORITY
            payload = b"\0\0\0\0\x10" + payload
        if rng.random() < 0.85:
            if rng.random() < 0.1:
                flags |= f.PADDED
                pad = rng.randint(0, 20)
                payload = bytes((pad,)) + payload + bytes(pad)
            return f.frame(f.HEADERS, flags | f.END_HEADERS, number, payload)
        cut = rng.randint(0, len(payload))
        rest = payload[cut:]
        half = len(rest) // 2
        return b"".join(
            (
                f.frame(f.HEADERS, flags, number, payload[:cut]),
                f.frame(f.CONTINUATION, 0, number, rest[:half]),
                f.frame(f.CONTINUATION, f.END_HEADERS, number, rest[half:]),
            )
        )

    def _block(self) -> bytes:
        rng = self._rng
        if rng.random() < self._wild:
            return rng.randbytes(rng.randint(0, 60))
        fields = self._answer_fields() if self._answers else self._request_fields()
        for _ in range(rng.choice((0, 0, 1, 3))):
            name = rng.choice((b"x-a", b"x-raw-bin", b"user-agent", b"x-request-id", b"te"))
            fields.append((name, rng.randbytes(rng.randint(0, 12)).hex().encode()))
        if rng.random() < 0.5:
            return self._writer.write(tuple(fields))
        if rng.random() < 0.1:
            self._encoder.header_table_size = rng.choice((0, 100, 4096))
        return self._encoder.encode(fields, huffman=rng.random() < 0.5)

    def _request_fields(self) -> list[tuple[bytes, bytes]]:
        rng = self._rng
        fields = [
            (b":method", rng.choice((b"POST",) * 9 + (b"GET",))),
            (b":scheme", b"http"),
            (b":path", rng.choice(PATHS).encode()),
            (b"content-type", rng.choice((b"application/grpc",) * 9 + (b"text/plain",))),
        ]
        if rng.random() < 0.2:
            fields.append((b"grpc-timeout", rng.choice((b"1S", b"5m", b"1n", b"x", b"99999999H"))))
        if rng.random() < 0.3:
            fields.append((b"grpc-encoding", rng.choice((b"gzip", b"identity", b"br"))))
        return fields

    def _answer_fields(self) -> list[tuple[bytes, bytes]]:
        rng = self._rng
        if rng.random() < 0.5:
            status = rng.choice((b"200",) * 20 + (b"503", b"100", b"x", b"9" * 5000))
            return [(b":status", status), (b"content-type", b"application/grpc")]
        status = rng.choice((b"0",) * 20 + (b"8", b"99", b"-1", b"9" * 5000))
        return [(b"grpc-status", status), (b"grpc-message", b"50%25 %zz %ff")]

    def _data(self) -> bytes:
        rng = self._rng
        body = rng.randbytes(rng.choice((0, 1, 5, 40))) * rng.choice((1, 1, 1, _LONGEST_BODY // 40))
        choice = rng.random()
        if choice < 0.6:
            body = grpc_messages.frame_message(body)
        elif choice < 0.7:
            content = gzip.compress(body, mtime=0)
            body = b"\1" + len(content).to_bytes(4, "big") + content
        elif choice < 0.8:
            body = grpc_messages.frame_message(b"") * rng.randint(1, 50)
        if rng.random() < 0.1:
            body = body[: rng.randint(0, len(body))]
        flags = f.END_STREAM if rng.random() < 0.4 else 0
        if rng.random() < 0.1:
            pad = rng.randint(0, 255)
            flags |= f.PADDED
            body = bytes((pad,)) + body + bytes(pad)
        number = self._stream()
        if rng.random() < 0.1 and len(body) < 100:
            # The same bytes one by one.
            return b"".join(f.frame(f.DATA, 0, number, bytes((each,))) for each in body)
        return f.frame(f.DATA, flags, number, body)

    def _window_update(self) -> bytes:
        rng = self._rng
        by = rng.choice((0, 1, 100, 65_535, 1 << 20, f.LARGEST_WINDOW, 1 << 31))
        by = by if rng.random() < self._wild else rng.randint(1, 100_000)
        return f.window_update_frame(0 if rng.random() < 0.4 else self._stream(), by)

    def _settings(self) -> bytes:
        rng = self._rng
        if rng.random() < 0.3:
            return f.frame(f.SETTINGS, f.ACK, 0)
        if rng.random() >= self._wild:
            setting = rng.choice((f.Setting.INITIAL_WINDOW_SIZE, f.Setting.HEADER_TABLE_SIZE))
            return f.settings_frame({setting: rng.choice((0, 1, 100, 65_535, 200_000))})
        pairs = b"".join(
            rng.randint(0, 8).to_bytes(2, "big")
            + rng.choice((0, 1, 100, 16_384, 65_535, 1 << 20, 1 << 31, (1 << 32) - 1)).to_bytes(
                4, "big"
            )
            for _ in range(rng.choice((0, 1, 2, 4, 33)))
        )
        return f.frame(f.SETTINGS, 0, 0, pairs)

    def _ping(self) -> bytes:
        rng = self._rng
        return f.frame(f.PING, rng.randint(0, 1), 0, rng.choice((b"farewell", b"12345678")))

    def _reset(self) -> bytes:
        return f.rst_stream_frame(self._stream(), self._rng.randint(0, 20))

    def _go_away(self) -> bytes:
        rng = self._rng
        if rng.random() < 0.7:
            return b""
        return f.goaway_frame(rng.choice((0, 1, 5, f.LARGEST_WINDOW)), rng.randint(0, 20), b"bye")

    def _other(self) -> bytes:
        rng = self._rng
        kind = rng.choice((f.PRIORITY, f.PRIORITY, 0xFA, f.PUSH_PROMISE, f.CONTINUATION))
        if kind in (f.PUSH_PROMISE, f.CONTINUATION) and rng.random() >= self._wild:
            return b""
        return f.frame(kind, rng.getrandbits(8), self._stream(), rng.randbytes(5))

    def _noise(self) -> bytes:
        rng = self._rng
        if rng.random() >= self._wild:
            return b""
        return rng.randbytes(rng.randint(1, 40))


def cut(rng: random.Random, sent: bytes) -> Iterator[bytes]:
    """``sent`` as it may come from a socket."""
    longest = rng.choice((1, 7, 100, 5000, 1 << 20))
    if longest == 1 and len(sent) > 3000:
        longest = 100
    at = 0
    while at < len(sent):
        size = rng.randint(1, longest)
        yield sent[at : at + size]
        at += size
