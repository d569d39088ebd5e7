"""What a step's message says of caches, and whose memory they lie in."""

import os

import numpy as np
import pytest

from protos.serving.v1 import generation_pb2 as pb
from services.worker.generation.sources import Fetch, Source
from services.worker.generation.steps import Export, Import, Step
from services.worker.generation.transfers import InMessage, InRegion, Transfers
from shared.errors import ExecutionFailed
from shared.regions import HEADER_BYTES, Regions
from shared.wire.exchange_messages import read_region

TOKEN_BYTES = 8


def fetch(tokens=10):
    return Fetch(Source(tokens, lambda *asked: None, lambda: None), 0)


def written(transfers, step, *, shares_memory=True):
    return pb.Step.FromString(transfers.write(step, shares_memory=shares_memory))


def export_step(*counts):
    """Exports of a sequence's tokens, one after the other, all to one fetch."""
    wants, exports, first = fetch(sum(counts)), [], 0
    for count in counts:
        exports.append(Export(1, first, count, wants))
        first += count
    return wants, Step(1, exports=tuple(exports))


def answer(*contents):
    return pb.StepOutcome(id=1, exported=contents).SerializeToString()


def fill(region, content):
    """As a device process does."""
    regions = Regions(1)
    regions.open(read_region(region)).write([np.frombuffer(content, np.uint8)], HEADER_BYTES)
    regions.close()


def is_open(memory):
    region = memory._region.told
    try:
        return os.pread(region.fd, 16, 0) == region.nonce
    except OSError:
        return False


def test_small_parts_and_those_from_afar_travel_inside():
    transfers = Transfers(TOKEN_BYTES, shared_from_bytes=3 * TOKEN_BYTES)
    for counts, shares_memory in (((2,), True), ((5,), False)):
        wants, step = export_step(*counts)
        (export,) = written(transfers, step, shares_memory=shares_memory).exports
        assert not export.HasField("region")
        content = bytes(range(counts[0] * TOKEN_BYTES))
        transfers.deliver(step, answer(content))
        parcel = wants.take()
        assert parcel.memory == InMessage(content)
        message = written(transfers, Step(2, imports=(Import(3, parcel),)))
        (given,) = message.imports
        assert (given.slot, given.position, given.count, given.data) == (3, 0, *counts, content)
    transfers.close()


def test_large_parts_lie_in_memory_that_is_used_again():
    transfers = Transfers(TOKEN_BYTES, shared_from_bytes=1)
    nonces = []
    for _ in range(3):
        wants, step = export_step(4)
        (export,) = written(transfers, step).exports
        content = os.urandom(4 * TOKEN_BYTES)
        fill(export.region, content)
        transfers.deliver(step, answer(b""))
        parcel = wants.take()
        assert parcel.memory.size == len(content)
        here = written(transfers, Step(2, imports=(Import(0, parcel),))).imports[0]
        assert here.region == export.region
        afar = written(transfers, Step(2, imports=(Import(0, parcel),)), shares_memory=False)
        assert afar.imports[0].data == content
        parcel.memory.release()
        nonces.append(export.region.nonce)
    assert len(set(nonces)) == 1
    # What is on its way at the same time lies in regions of its own.
    _, step = export_step(1, 1)
    one, two = written(transfers, step).exports
    assert one.region != two.region
    transfers.close()


def test_memory_somebody_may_write_to_is_used_no_more():
    transfers = Transfers(TOKEN_BYTES, shared_from_bytes=1)
    _, step = export_step(4)
    lost = written(transfers, step).exports[0].region
    transfers.lose()
    wants, step = export_step(4)
    (export,) = written(transfers, step).exports
    assert export.region.nonce != lost.nonce
    transfers.deliver(step, answer(b""))
    parcel = wants.take()
    assert isinstance(parcel.memory, InRegion)
    assert is_open(parcel.memory)
    # Who took it lost the step in which it was read.
    parcel.memory.lose()
    assert not is_open(parcel.memory)
    transfers.close()


def test_what_others_still_read_outlives_its_engine():
    transfers = Transfers(TOKEN_BYTES, shared_from_bytes=1)
    wants, step = export_step(4)
    written(transfers, step)
    transfers.deliver(step, answer(b""))
    transfers.close()
    memory = wants.take().memory
    assert is_open(memory)
    memory.release()
    assert not is_open(memory)


def test_a_fetch_that_is_over_lets_go_of_what_comes():
    transfers = Transfers(TOKEN_BYTES, shared_from_bytes=1)
    wants, step = export_step(4)
    region = written(transfers, step).exports[0].region
    wants.close()
    transfers.deliver(step, answer(b""))
    assert wants.next_tokens == 0
    _, step = export_step(4)
    assert written(transfers, step).exports[0].region == region
    transfers.close()


@pytest.mark.parametrize("contents", [(), (b"", b""), (bytes(TOKEN_BYTES),), (b"x",)])
def test_an_answer_that_does_not_fit_is_an_error(contents):
    transfers = Transfers(TOKEN_BYTES)
    wants, step = export_step(4)
    written(transfers, step)
    with pytest.raises(ExecutionFailed, match="of its cache"):
        transfers.deliver(step, answer(*contents))
    assert wants.next_tokens == 0
    transfers.close()
