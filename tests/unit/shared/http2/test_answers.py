"""The header blocks of a server, as a client reads them."""

import pytest

from shared.errors import Overloaded
from shared.wire.http2 import answers
from shared.wire.http2.grpc_protocol import read_response
from shared.wire.http2.headers import HeaderReader


def read(*blocks):
    """What one connection makes of ``blocks``."""
    reader = HeaderReader(read_response, max_bytes=16 << 10)
    return [reader.read(block) for block in blocks]


def test_a_good_answer_is_a_first_block_and_an_end():
    first, end = read(answers.FIRST, answers.GOOD_END)
    assert (first.http_status, first.grpc_status) == (200, None)
    assert (end.http_status, end.grpc_status) == (None, 0)


@pytest.mark.parametrize("begun", [True, False])
def test_a_failure_says_200_only_when_no_answer_has_begun(begun):
    block = answers.failure_block(8, "50% full: é", Overloaded, begun=begun)
    (failure,) = read(block)
    assert failure.http_status == (None if begun else 200)
    assert (failure.grpc_status, failure.message) == (8, "50% full: é")
    assert failure.metadata["mindserve-error"] == "Overloaded"


def test_a_failure_that_is_no_error_of_ours_names_none():
    (failure,) = read(answers.failure_block(answers.UNIMPLEMENTED, "unknown", begun=False))
    assert failure.grpc_status == 12
    assert "mindserve-error" not in failure.metadata


def test_what_is_no_call_is_refused_with_its_http_status():
    (refusal,) = read(answers.http_refusal_block(405, "gRPC calls are POST"))
    assert (refusal.http_status, refusal.grpc_status) == (405, 2)
    assert refusal.message == "gRPC calls are POST"
