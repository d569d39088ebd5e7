"""Stage processes: real ones, which import a servable that a test wrote."""

import asyncio
import itertools
import os
from collections import Counter
from contextlib import asynccontextmanager

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from services.worker.metrics import Metrics
from services.worker.stages.mailbox import pack, unpack
from services.worker.stages.messages import MEMORIES, StagePlace
from services.worker.stages.pool import StageProcesses
from services.worker.stages.work import StageWork
from shared.arena import Arena
from shared.declaration import load_servable
from shared.errors import LoadFailed, StageFailed
from shared.servable import ServableVersion
from shared.tasks import task_scope
from shared.urgency import NOT_URGENT
from tests.support.cluster import until

WHAT = ServableVersion("toy", 1)
WHERE = "Call it Failed, error msg: "
CONFIG = """import os, signal, time

if "IMPORTS" in os.environ:
    open(os.path.join(os.environ["IMPORTS"], f"{os.getpid()}.{time.monotonic_ns()}"), "w").close()

import numpy as np
from mindspore_serving.server import register

model = register.declare_model(model_file="m.json", model_format="Reference")


def plus(x):
    return x + 1


def picky(x):
    if x == 13:
        raise ValueError("thirteen")
    if x == 14:
        os.kill(os.getpid(), signal.SIGSEGV)
    if x == 15:
        return {"no": "value"}
    return x


def pair(instances):
    for (x,) in instances:
        picky(x)
    return [len(instances)] * len(instances)


def where(x):
    return os.getpid()


def asks(x):
    return model.call(x, x)


def slow(x):
    time.sleep(60)


def meet(x):
    # Ends only when another process is in it too.
    folder = os.environ["MEETING"]
    open(os.path.join(folder, str(os.getpid())), "w").close()
    until = time.monotonic() + 20
    while len(os.listdir(folder)) < 2 and time.monotonic() < until:
        time.sleep(0.005)
    return len(os.listdir(folder))


def held(x):
    while x and not os.path.exists(os.environ["RELEASED"]):
        time.sleep(0.005)
    return x


def method(function, batch_size=None):
    def it(x):
        return register.add_stage(function, x, outputs_count=1, batch_size=batch_size)
    it.__name__ = function.__name__
    register.register_method(output_names=["y"])(it)


for each in (plus, picky, where, asks, slow, meet, held):
    method(each)
method(pair, 2)
"""


class Models:
    def __init__(self):
        self.asked = []

    def inputs_count(self, call):
        return 2

    async def run(self, call, where, instances, urgency):
        self.asked.append((call.model, len(instances)))
        return [(np.asarray(a + b),) for a, b in instances]


class Running:
    def __init__(self, pool, servable, metrics):
        self.pool = pool
        self._numbers = itertools.count()
        self.metrics = metrics
        self._servable = servable
        self.models = Models()

    def work(self, method):
        stage = self._servable.methods[method].graph.stages[0]
        place = StagePlace(WHAT, method, 0)
        return StageWork(next(self._numbers), place, stage, WHERE, self.models, NOT_URGENT)

    async def outcomes(self, method, *instances):
        return await self.pool.run(self.work(method), [(each,) for each in instances])

    async def in_parts(self, method, *instances):
        """As a request whose instances go through their stages one by one."""
        work = self.work(method)
        parts = [self.pool.run(work, [(np.asarray(each),)]) for each in instances]
        return [plain(outcome) for (outcome,) in await asyncio.gather(*parts)]

    def ends(self):
        """Processes that ended, by cause."""
        (family,) = self.metrics.stage_process_ends.collect()
        return {
            each.labels["cause"]: each.value
            for each in family.samples
            if each.name.endswith("_total")
        }

    def living(self):
        (family,) = self.metrics.stage_processes.collect()
        return family.samples[0].value

    async def values(self, method, *instances):
        """Values, and texts of failures."""
        async with asyncio.timeout(60):
            found = await self.outcomes(method, *map(np.asarray, instances))
        return [plain(each) for each in found]


def plain(outcome):
    if isinstance(outcome, StageFailed):
        return outcome.message.removeprefix(WHERE)
    return outcome[0].tolist()


@asynccontextmanager
async def pool(tmp_path, count=1, hang_seconds=30.0):
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "servable_config.py").write_text(CONFIG)
    servable = await asyncio.to_thread(load_servable, tmp_path, "toy")
    async with task_scope() as scope:
        metrics = Metrics(CollectorRegistry())
        made = StageProcesses(count, scope, tmp_path, metrics, hang_seconds=hang_seconds)
        await made.add(WHAT)
        yield Running(made, servable, metrics)


async def test_functions_run_in_another_process_with_arrays_of_any_size(tmp_path):
    async with pool(tmp_path) as running:
        assert await running.values("plus", 1, [2, 3]) == [2, [3, 4]]
        large = np.arange(300_000, dtype=np.float32).reshape(3, -1)
        for _ in range(2):
            (found,) = await running.outcomes("plus", large)
            assert np.array_equal(found[0], large + 1)


async def test_one_process_lives_on_from_run_to_run(tmp_path):
    async with pool(tmp_path) as running:
        pids = {(await running.values("where", 0))[0] for _ in range(3)}
    assert len(pids) == 1


async def test_an_instance_that_fails_or_gives_nonsense_fails_alone(tmp_path):
    async with pool(tmp_path) as running:
        found = await running.values("picky", 1, 13, 15, 2)
    assert found == [1, "ValueError: thirteen", "cannot serve a result of type dict", 2]


async def test_a_crash_fails_its_instance_and_another_process_does_the_rest(tmp_path):
    async with pool(tmp_path) as running:
        found = await running.values("picky", 1, 14, 2, 3)
        assert found == [1, "the stage process ended (SIGSEGV)", 2, 3]
        assert await running.values("plus", 1) == [2]


async def test_a_crash_fails_its_chunk_of_a_batch_function(tmp_path):
    async with pool(tmp_path) as running:
        found = await running.values("pair", 1, 2, 14, 3, 4)
    ended = "the stage process ended (SIGSEGV)"
    assert found == [2, 2, ended, ended, 1]


async def test_instances_of_one_request_are_spread_over_processes(tmp_path, monkeypatch):
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    monkeypatch.setenv("MEETING", str(meeting))
    async with pool(tmp_path, count=2) as running:
        assert await running.values("meet", 1, 2) == [2, 2]


async def test_functions_call_models_of_the_worker(tmp_path):
    async with pool(tmp_path) as running:
        large = np.ones(50_000, np.float32)
        small, found = await running.outcomes("asks", np.float32(2), large)
        assert small[0] == 4
        assert np.array_equal(found[0], large * 2)
        assert running.models.asked == [("m.json", 1)] * 2


async def test_a_caller_who_leaves_frees_the_process_when_its_function_hangs(tmp_path):
    async with pool(tmp_path, hang_seconds=0.05) as running:
        (first,) = await running.values("where", 0)
        task = asyncio.create_task(running.outcomes("slow", np.asarray(1)))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(running.values("where", 0))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await waiting != [first]


async def test_a_caller_who_leaves_the_line_takes_no_process_along(tmp_path):
    async with pool(tmp_path) as running:
        assert await running.values("plus", 1) == [2]
        first = asyncio.create_task(running.values("plus", 1))
        second = asyncio.create_task(running.values("plus", 2))
        await asyncio.sleep(0)
        second.cancel()
        assert await first == [2]
        assert await running.values("plus", 3) == [4]


async def test_a_crash_costs_nothing_to_what_waits_in_the_same_process(tmp_path):
    async with pool(tmp_path) as running:
        await running.values("picky", 0)  # from now on it is known to be quick
        found = await running.in_parts("picky", 1, 14, *range(20, 30))
        assert found == [1, "the stage process ended (SIGSEGV)", *range(20, 30)]


async def test_a_process_that_should_soon_be_done_has_more_at_hand(tmp_path, monkeypatch):
    """Although nothing happens meanwhile that would remind anybody."""
    released = tmp_path / "released"
    monkeypatch.setenv("RELEASED", str(released))
    async with pool(tmp_path) as running:
        await running.values("held", 0)  # from now on it is known to be quick
        asking = asyncio.create_task(running.in_parts("held", *range(1, 60)))

        def has_as_many_runs_as_memories():
            return [len(given) for given in running.pool._runs._given.values()] == [MEMORIES]

        await until(has_as_many_runs_as_memories, what="runs at hand")
        await asyncio.to_thread(released.touch)
        assert await asking == list(range(1, 60))


async def test_runs_wait_in_a_process_while_the_first_asks_a_model(tmp_path):
    async with pool(tmp_path) as running:
        await running.values("asks", 0)
        assert await running.in_parts("asks", *range(20)) == [2 * each for each in range(20)]


async def test_a_caller_who_leaves_takes_what_waits_in_a_process_along(tmp_path):
    async with pool(tmp_path) as running:
        await running.values("plus", 0)
        leaving = asyncio.create_task(running.in_parts("plus", *range(50)))
        await until(lambda: running.pool._runs._callers, every=0, what="its parts")
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await running.in_parts("plus", *range(9)) == list(range(1, 10))
        assert not running.pool._runs._callers


async def test_processes_that_end_are_counted_by_cause(tmp_path):
    async with pool(tmp_path, count=2) as running:
        await running.values("picky", 14)
        await running.values("picky", 14)
        await until(
            lambda: running.living() >= 2 and sum(running.ends().values()) >= 2,
            what="two processes that ended, and two others",
        )
        assert running.ends() == {"SIGSEGV": 2}


async def test_a_servable_that_cannot_be_imported_there_fails_its_instances(tmp_path):
    async with pool(tmp_path) as running:
        assert await running.values("plus", 1) == [2]
        (tmp_path / "toy" / "servable_config.py").write_text("raise RuntimeError('gone wrong')")
        assert "SIGSEGV" in (await running.values("picky", 14))[0]
        (found,) = await running.values("plus", 1)
        assert "gone wrong" in found


async def test_a_version_is_imported_everywhere_before_it_is_called(tmp_path, monkeypatch):
    for name in ("meeting", "imports"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name.upper(), str(tmp_path / name))
    async with pool(tmp_path, count=2) as running:
        assert await running.values("meet", 1, 2) == [2, 2]
        await running.pool.add(ServableVersion("toy", 2))
        imports = Counter(each.name.split(".")[0] for each in (tmp_path / "imports").iterdir())
    del imports[str(os.getpid())]
    assert list(imports.values()) == [2, 2]


async def test_a_process_that_never_rests_still_imports_a_new_version(tmp_path):
    async with pool(tmp_path) as running:
        called = 0

        async def caller():
            nonlocal called
            while True:
                assert await running.values("plus", 1) == [2]
                called += 1

        async with task_scope() as scope:
            for _ in range(3):
                scope.spawn(caller(), name="caller")
            await until(lambda: called > 3, what="the callers to keep it at work")
            async with asyncio.timeout(60):
                await running.pool.add(ServableVersion("toy", 2))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("raise RuntimeError('gone wrong')", "gone wrong"),
        ("import os; os._exit(3)", "the stage process ended (exit code 3) while it imported"),
    ],
)
async def test_a_version_that_cannot_be_imported_takes_nothing_away(tmp_path, config, reason):
    async with pool(tmp_path) as running:
        second = ServableVersion("toy", 2)
        file = tmp_path / "toy" / "servable_config.py"
        file.write_text(config)
        async with asyncio.timeout(60):
            with pytest.raises(LoadFailed) as failed:
                await running.pool.add(second)
        assert reason in failed.value.message
        running.pool.forget(second)
        file.write_text(CONFIG)
        assert await running.values("plus", 1) == [2]


def test_values_travel_in_messages_and_in_memory():
    arena = Arena.create()
    values = [("text", b"bytes", np.float32(3)), (np.arange(20_000), np.zeros((0, 3)))]
    message, end = pack(arena, values, 0)
    assert len(message) < 1000
    assert end >= 160_000
    found = unpack(arena, message)
    assert found[0] == values[0]
    assert np.array_equal(found[1][0], values[1][0])
    assert found[1][1].shape == (0, 3)
    arena.write([np.zeros(160_000, np.uint8)], 0)
    assert found[1][0][7] == 7
    found[1][0][7] = 8
    arena.close()
