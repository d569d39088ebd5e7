"""The document's client: a hundred images in one request, preprocessed by itself or not."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from benchmarks.measure import READY_SECONDS, Meter, NotReady
from benchmarks.processes import Processes
from benchmarks.seed_steps.deployment import SERVABLE, deployed
from benchmarks.seed_steps.functions import postprocess, preprocessed
from benchmarks.seed_steps.steps import Payload, Step, StepTime
from mindspore_serving.client import Client
from mindspore_serving.client.encoding import Result

REQUESTS = 4
"""Of each step in each round, after one that warms up."""


class WrongAnswer(Exception):
    """A server answered something else than the right labels."""


def step_times(step: Step, payload: Payload, count: int, *, number: int) -> Iterator[StepTime]:
    """Requests of one step, one after another, to services of its own."""
    encoded = images(payload, count)
    with (
        deployed(step, payload) as deployment,
        ready(deployment.address, step.method, deployment.processes,
              lambda client: infer(client, step, payload, encoded[:4])) as client,
    ):  # fmt: skip
        infer(client, step, payload, encoded)
        for _ in range(REQUESTS):
            meter = Meter(deployment.processes)
            took = infer(client, step, payload, encoded)
            used = meter.read()
            yield StepTime(
                payload=payload.key, step=step.number, round=number,
                ms_per_image=1e3 * took / count, server_cpu_ms=1e3 * used.cpu_seconds / count,
                others_cores=used.others_cores,
            )  # fmt: skip
        deployment.processes.check()


def images(payload: Payload, count: int) -> list[bytes]:
    """Encoded images."""
    sizes = payload.file_bytes
    return [bytes(sizes[number % len(sizes)]) for number in range(count)]


@contextmanager
def ready(
    address: str, method: str, processes: Processes, ask: Callable[[Client], object],
    *, servable: str = SERVABLE,
) -> Iterator[Client]:  # fmt: skip
    """A client of services that answer by now; raises NotReady."""
    with Client(address, servable, method, raise_on_error=True) as client:
        until = time.monotonic() + READY_SECONDS
        while True:
            processes.check()
            try:
                ask(client)
                break
            except grpc.RpcError as failure:
                if time.monotonic() > until:
                    raise NotReady(f"{failure}\n{processes.last_words()}") from failure
            time.sleep(0.1)
        yield client


def infer(client: Client, step: Step, payload: Payload, encoded: list[bytes]) -> float:
    """Have images labelled, as the document's script does; returns the seconds it took.

    Raises WrongAnswer.
    """
    began = time.perf_counter()
    result: Result
    labels: list[object]
    if step.workers:
        result = client.infer([{"image": each} for each in encoded])
        labels = [each.get("label") for each in result]
    else:
        tensors = [preprocessed(each, payload.floats) for each in encoded]
        result = client.infer([{"image": each} for each in tensors])
        labels = [postprocess(each["score"]) for each in result]
    took = time.perf_counter() - began
    if labels != [len(each) for each in encoded]:
        raise WrongAnswer(f"step {step.number}: {str(result)[:300]}")
    return took
