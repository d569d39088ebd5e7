"""Who gets a request next when somebody refuses it, and when nobody may."""

import asyncio
import random

import pytest
from prometheus_client import CollectorRegistry

from protos.serving.v1 import dispatch_pb2
from services.master.dispatcher import Dispatcher
from services.master.metrics import Metrics
from services.master.router import Router
from services.master.spec import Spec
from shared.deadline import Deadline
from shared.errors import Draining, Overloaded, StageFailed, Unavailable, WorkerLost
from shared.membership import Offer, OfferedMethod, Offers
from shared.servable import ServableVersion
from shared.urgency import Urgency

SPEC = Spec("toy", "predict")


class Workers:
    """Workers that answer, or fail with what a test says."""

    def __init__(self, **failures):
        self.failures = failures
        self.asked = []

    def outstanding(self, worker):
        return {"a": 0, "b": 1}[worker]  # a is asked first

    async def call(self, worker, payload, *, head, deadline, request_id):
        self.head = dispatch_pb2.DispatchHead.FromString(head)
        assert self.head.version == 1
        self.asked.append(worker)
        failure = self.failures.get(worker)
        if failure is not None:
            raise failure
        return b"answer of " + worker.encode() + payload


async def dispatch(workers, names=("a", "b"), **urgency):
    router = Router(random.Random(3))
    for name in names:
        router.update(
            name, Offers((Offer(ServableVersion("toy", 1), {"predict": OfferedMethod()}, 9),))
        )
    dispatcher = Dispatcher(router, workers, Metrics(CollectorRegistry()))
    deadline = Deadline.after(5, now=asyncio.get_running_loop().time())
    return await dispatcher.dispatch(
        SPEC, b"!", urgency=Urgency(deadline, **urgency), request_id="r"
    )


async def test_the_head_says_what_the_client_asked_for_beside_the_message():
    workers = Workers()
    await dispatch(workers)
    assert (workers.head.priority, workers.head.default_timeout) == (0, False)
    await dispatch(workers, priority=2, is_default=True)
    assert (workers.head.priority, workers.head.default_timeout) == (2, True)


@pytest.mark.parametrize("refusal", [Draining("going"), Overloaded("full"), Unavailable("away")])
async def test_a_request_that_one_worker_refuses_goes_to_the_other(refusal):
    workers = Workers(a=refusal)
    assert await dispatch(workers) == b"answer of b!"
    assert workers.asked == ["a", "b"]


async def test_when_everybody_refuses_the_caller_hears_the_last_reason_and_nobody_is_asked_twice():
    workers = Workers(a=Draining("a goes"), b=Overloaded("b is full"))
    with pytest.raises(Overloaded, match="b is full"):
        await dispatch(workers)
    assert workers.asked == ["a", "b"]


@pytest.mark.parametrize("failure", [WorkerLost("it was at work"), StageFailed("its own")])
async def test_what_may_have_run_is_never_sent_again(failure):
    workers = Workers(a=failure, b=failure)
    with pytest.raises(type(failure)):
        await dispatch(workers)
    assert len(workers.asked) == 1
