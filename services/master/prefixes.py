"""(pure) Which worker has probably computed the beginning of a prompt.

A prompt is cut into blocks, each known by a hash of itself and all before it. Masters that know
nothing of one another prefer the same worker for the same first block (rendezvous hashing); one
that has seen more of a prompt remembers who served it. A preference bends before load.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b

from shared.text_generation import Chat, GenerateRequest

BLOCK_BYTES = 256
# What is longer differs late enough.
_MOST_BLOCKS = 256
_MOST_BYTES = _MOST_BLOCKS * BLOCK_BYTES
_REMEMBERED_BLOCKS = 1 << 16
# A preferred worker may have so much more to do than the average.
_MOST_OF_AVERAGE, _MORE_THAN_AVERAGE = 1.25, 2


def blocks_of(request: GenerateRequest) -> tuple[bytes, ...]:
    """The hashes of a prompt's whole blocks; prompts share cache where they share these."""
    prompt = request.prompt
    match prompt:
        case str():
            content = prompt[:_MOST_BYTES].encode()
        case Chat():
            # What a template writes first comes first.
            content = (prompt.tools_json + prompt.messages_json)[:_MOST_BYTES].encode()
        case _:
            content = b"".join(token.to_bytes(4, "little") for token in prompt[: _MOST_BYTES // 4])
    before = blake2b(f"{request.model}\0{request.cache_salt}".encode(), digest_size=8).digest()
    whole = min(len(content) // BLOCK_BYTES, _MOST_BLOCKS) * BLOCK_BYTES
    blocks = []
    for at in range(0, whole, BLOCK_BYTES):
        before = blake2b(before + content[at : at + BLOCK_BYTES], digest_size=8).digest()
        blocks.append(before)
    return tuple(blocks)


class Prefixes:
    """Who served the beginnings of prompts, as far as they are remembered."""

    def __init__(self, most: int = _REMEMBERED_BLOCKS) -> None:
        self._most = most
        self._served: OrderedDict[bytes, str] = OrderedDict()

    def remember(self, blocks: Sequence[bytes], worker: str) -> None:
        """``worker`` has computed a prompt of these blocks."""
        for block in blocks:
            self._served[block] = worker
            self._served.move_to_end(block)
        while len(self._served) > self._most:
            self._served.popitem(last=False)

    def preferred(self, blocks: Sequence[bytes], workers: Sequence[str]) -> list[str]:
        """``workers`` in the order in which a prompt of these blocks would have them."""
        if not blocks:
            return []
        ranked = sorted(workers, key=lambda worker: _score(blocks[0], worker), reverse=True)
        for block in reversed(blocks):
            worker = self._served.get(block)
            if worker in ranked:
                ranked.remove(worker)
                return [worker, *ranked]
        return ranked


def _score(block: bytes, worker: str) -> bytes:
    return blake2b(block + worker.encode(), digest_size=8).digest()


def choose(preferred: Sequence[str], workers: Sequence[str], load: Callable[[str], int]) -> str:
    """The first preferred worker that has not much more to do than others, or the least busy."""
    loads = {worker: load(worker) for worker in workers}
    bound = _MOST_OF_AVERAGE * sum(loads.values()) / len(loads) + _MORE_THAN_AVERAGE
    for worker in preferred:
        if loads[worker] <= bound:
            return worker
    return min(workers, key=loads.__getitem__)
