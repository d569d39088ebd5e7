"""The pure modules of shared: deadlines, addresses, tensors, graphs, leases, errors."""

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.addresses import HostPort
from shared.deadline import Deadline
from shared.errors import InvalidRequest
from shared.health import HealthBoard
from shared.membership import Hello, MembershipTable
from shared.stage_graph import METHOD_INPUTS, ModelCall, Source, Stage, StageGraph
from shared.tasks import task_scope
from shared.tensors import ElementType, TensorSpec, check_value


def test_a_deadline_runs_out():
    deadline = Deadline.after(2.0, now=10.0)
    assert deadline.remaining(11.5) == 0.5
    assert not deadline.expired(11.9)
    assert deadline.expired(12.0)
    assert deadline.remaining(13.0) == 0.0


@pytest.mark.parametrize("text", ["127.0.0.1:5500", "[::1]:80", ":6200", "host.name:1"])
def test_an_address_reads_back_as_written(text):
    assert str(HostPort.parse(text)) == text


@pytest.mark.parametrize("text", ["", "host", "host:", "host:99999", "::1:5", "a b:1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"address|port"):
        HostPort.parse(text)


SPEC = TensorSpec("x", ElementType.FLOAT32, (-1, 2))


def test_a_fitting_array_passes():
    check_value(SPEC, np.ones((7, 2), np.float32), "model 'm': ")


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (np.ones((7, 3), np.float32), r"got float32\[7, 3\]"),
        (np.ones((7, 2), np.int32), r"got int32\[7, 2\]"),
        (np.ones(2, np.float32), r"got float32\[2\]"),
        ("text", "got text"),
        (b"bytes", "got bytes"),
    ],
)
def test_an_unfitting_value_is_named_with_what_was_expected(value, got):
    with pytest.raises(
        InvalidRequest, match=rf"model 'm': input 'x' expected float32\[\?, 2\], {got}"
    ):
        check_value(SPEC, value, "model 'm': ")


@given(st.sampled_from([kind for kind in ElementType if kind < ElementType.STRING]))
def test_element_types_and_dtypes_are_one_to_one(kind):
    assert ElementType.of(kind.dtype) is kind


def test_an_unservable_dtype_is_named():
    with pytest.raises(ValueError, match="complex64"):
        ElementType.of(np.dtype(np.complex64))


def stage(*inputs, outputs=1):
    return Stage(ModelCall("m"), tuple(Source(*i) for i in inputs), outputs, "Model 'm'")


def test_a_graph_may_use_inputs_and_earlier_outputs():
    graph = StageGraph(
        2, (stage((METHOD_INPUTS, 1), outputs=2), stage((0, 1))), (Source(1, 0), Source(-1, 0))
    )
    assert graph.models() == {"m"}


@pytest.mark.parametrize("source", [(0, 0), (1, 0), (METHOD_INPUTS, 2), (METHOD_INPUTS, -1)])
def test_a_graph_that_uses_what_is_not_there_yet_is_refused(source):
    with pytest.raises(ValueError, match="stage 1"):
        StageGraph(2, (stage(source),), ())


def test_leases_end_unless_renewed():
    table = MembershipTable(10.0)
    table.join(Hello("a", "h:1"), now=0.0)
    table.join(Hello("b", "h:2"), now=0.0)
    table.renew("a", now=5.0)
    assert table.expired(now=9.9) == []
    assert table.expired(now=10.0) == ["b"]
    table.leave("b")
    table.renew("b", now=11.0)
    assert "b" not in table
    assert [hello.member_id for hello in table] == ["a"]
    assert len(table) == 1


def test_an_error_is_rebuilt_from_its_name():
    for name, kind in errors.BY_NAME.items():
        rebuilt = errors.rebuild(name, "why")
        assert type(rebuilt) is kind
        assert rebuilt.message == "why"
    assert type(errors.rebuild("Nonsense", "")) is errors.InternalError


def test_only_what_was_not_begun_is_retryable():
    retryable = {name for name, kind in errors.BY_NAME.items() if kind.retryable}
    assert retryable == {"Refused", "Overloaded", "Draining", "Unavailable", "MemoryNotShared"}


async def test_a_scope_ends_its_tasks_and_shows_the_plain_error():
    with pytest.raises(InvalidRequest, match="plain"):
        async with task_scope() as scope:
            idle = scope.spawn(_forever(), name="idle")
            scope.spawn(_fail(), name="failing")
            await asyncio.Future()
    assert idle.cancelled()


async def _forever():
    await asyncio.Future()


async def _fail():
    raise InvalidRequest("plain")


async def test_a_scope_that_ends_takes_no_task_and_leaves_nothing_of_it_behind():
    refused = []
    with pytest.raises(InvalidRequest, match="plain"):
        async with task_scope() as scope:

            async def late():
                try:
                    await asyncio.Future()
                finally:
                    # A coroutine that is never awaited would warn, which fails a test.
                    with pytest.raises(RuntimeError, match="shutting down"):
                        scope.spawn(_forever(), name="too late")
                    refused.append(True)

            scope.spawn(late(), name="late")
            await asyncio.sleep(0)
            scope.spawn(_fail(), name="failing")
            await asyncio.Future()
    assert refused


async def test_leaving_a_scope_cancels_what_still_runs():
    async with task_scope() as scope:
        task = scope.spawn(_forever(), name="idle")
    assert task.cancelled()


async def test_a_watcher_sees_each_change_once():
    board = HealthBoard()
    states = board.watch("servable")
    assert await anext(states) is None
    board.set("servable", True)
    board.set("servable", True)
    assert await anext(states) is True
    board.stop()
    assert await anext(states) is False
    await states.aclose()


async def test_an_owner_cancelled_while_a_task_of_it_fails_is_cancelled():
    async def fail_when_cancelled():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            raise errors.PeerLost("the same moment")

    async def own():
        async with task_scope() as scope:
            scope.spawn(fail_when_cancelled(), name="failing")
            await asyncio.get_running_loop().create_future()

    owner = asyncio.create_task(own())
    await asyncio.sleep(0)  # the owner waits
    await asyncio.sleep(0)  # its task waits
    owner.cancel()
    with pytest.raises(asyncio.CancelledError):
        await owner
    assert owner.cancelled()


def test_a_servable_that_is_not_named_any_more_serves_no_more():
    board = HealthBoard()
    board.set("", True)
    board.set_servables({"a": True, "b": False})
    board.set_servables({"b": True})
    assert [board.get(name) for name in ("", "a", "b", "c")] == [True, False, True, None]
