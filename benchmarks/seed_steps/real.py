"""Real ResNet-50: a bare loop and the whole stack take turns on the same cores.

Both live for the whole run and only one of them works at a time, so that whatever else the
machine does meets both alike. The loop calls the model with batches of 8; the client has as
many images answered, two requests in flight, and its own work counts for the stack.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.bare_process import bare_process
from benchmarks.mindir.models import MINDSPORE, environment_for, file_of, with_answer
from benchmarks.peers.told import SERVERS, described_for_servers
from benchmarks.rounds import say
from benchmarks.seed_steps.client import WrongAnswer, ready
from benchmarks.seed_steps.deployment import SERVABLE, services
from benchmarks.seed_steps.steps import Turn
from benchmarks.works import WORKS, Rows, Work
from mindspore_serving.client import Client

BATCH = 8
REQUEST = 32
"""Images of one request."""
IN_FLIGHT = 2
CONFIG = """from mindspore_serving.server import register

model = register.declare_model(model_file="model.mindir", model_format="MindIR")


@register.register_method(output_names=["score"])
def score(image):
    return register.add_stage(model, image, outputs_count=1)
"""


def turns(rounds: int, images: int) -> Iterator[Turn]:
    """As many images by either way in each round; who begins changes from round to round."""
    work = with_answer(WORKS["e2"], say)
    with bare_loop(work) as loop, stack(work) as client:
        answered(client, work, IN_FLIGHT * REQUEST)
        for number in range(1, rounds + 1):
            seconds = {}
            for way in ("loop", "stack") if number % 2 else ("stack", "loop"):
                seconds[way] = loop(images) if way == "loop" else answered(client, work, images)
            yield Turn(number, images, images / seconds["loop"], images / seconds["stack"])


def answered(client: Client, work: Work, images: int) -> float:
    """Have a client's images answered; the seconds it took. Raises WrongAnswer."""
    image = work.request()[0]
    began = time.monotonic()
    running = deque(client.infer_async([{"image": image}] * REQUEST) for _ in range(IN_FLIGHT))
    asked, done = IN_FLIGHT * REQUEST, 0
    while running:
        result = running.popleft().result()
        if asked < images:
            running.append(client.infer_async([{"image": image}] * REQUEST))
            asked += REQUEST
        done += len(result)
        if not work.is_answer(np.asarray(result[-1]["score"])):
            raise WrongAnswer(str(result[-1])[:300])
    if done != asked:
        raise WrongAnswer(f"{done} answers for {asked} images")
    return time.monotonic() - began


@contextmanager
def bare_loop(work: Work) -> Iterator[Callable[[int], float]]:
    """A process that calls the model; gives the seconds that so many images take."""
    command = [MINDSPORE.python, str(SERVERS / "bare_turns.py"), str(BATCH)]
    with bare_process(command, described_for_servers(work)) as process:
        yield lambda images: process.seconds(images // BATCH)


@contextmanager
def stack(work: Work) -> Iterator[Client]:
    """A client of master, worker, agent and device process that hold the model."""
    with TemporaryDirectory(prefix="bench-") as folder:
        servable = Path(folder, "servables", SERVABLE)
        (servable / "1").mkdir(parents=True)
        (servable / "servable_config.py").write_text(CONFIG)
        (servable / "1" / "model.mindir").symlink_to(file_of(work))
        image: Rows = work.request()[0]
        with (
            services(Path(folder), agent_environment=environment_for(work)) as deployment,
            ready(deployment.address, "score", deployment.processes,
                  lambda client: client.infer({"image": image})) as client,
        ):  # fmt: skip
            yield client
