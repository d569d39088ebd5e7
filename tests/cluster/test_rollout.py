"""Versions that come and go while requests flow: by order, by folder, by label."""

import asyncio
import shlex
import shutil
import subprocess
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import orjson
import pytest

from mindspore_serving.client import AsyncClient
from protos.serving.v1 import repository_pb2 as pb
from shared.ports import free_port
from tests.support.cluster import add_servable, outputs, until
from tests.support.http1 import ask

ROOT = Path(__file__).parents[2]
ONE, TWO = (1.0, 2.0), (2.0, 4.0)
"""What versions 1 (identity) and 2 (double) make of [1, 2]."""


@pytest.fixture(autouse=True)
def admin(cluster):
    cluster.admin, cluster.admin_rest = (f"127.0.0.1:{free_port()}" for _ in range(2))


async def start(cluster, *, agents=1, master=(), worker=()):
    cluster.start_master(
        *("--admin-address", cluster.admin), *("--admin-rest-address", cluster.admin_rest), *master
    )
    address = cluster.start_worker("worker", *worker)
    for number in range(agents):
        cluster.start_agent(f"agent{number}", address, "--device-id", str(number))
    await until(lambda: all_hold(cluster, agents), what="every agent to hold every version")
    await cluster.ready("toy")


async def all_hold(cluster, agents):
    try:
        counted = await asyncio.to_thread(cluster.metrics_of, "worker")
    except OSError:
        return False
    name = "mindserve_worker_agents_holding"
    held = [number for each, number in counted.items() if each.startswith(name)]
    return held and set(held) == {agents}


async def order(cluster, method, path, body=b"", status=200):
    answer = await ask(cluster.admin_rest, method, path, body)
    assert answer.status == status, answer.body
    return answer.json


async def states(cluster):
    index = await order(cluster, "GET", "/servables/toy")
    return {each["version"]: each["state"] for each in index["versions"]}


@asynccontextmanager
async def traffic(cluster, callers=6, **spec):
    """Callers without a pause; counts what they get, and lets no request fail."""
    answers = Counter()

    async def caller():
        while True:
            answers.update(map(tuple, outputs(await cluster.predict([1, 2], **spec))))

    tasks = [asyncio.create_task(caller()) for _ in range(callers)]
    try:
        yield answers
    finally:
        failed = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert failed == []


async def more(answers, what, count=30):
    enough = answers[what] + count
    await until(lambda: answers[what] >= enough, what=f"{count} more of {what}: {answers}")


async def test_a_version_takes_over_by_order_and_requests_of_the_old_one_finish(cluster):
    add_servable(cluster.servables, function="identity", latency_seconds=0.2)
    await start(cluster, agents=2)
    add_servable(cluster.servables, version=2, function="double")
    async with traffic(cluster) as answers:
        await more(answers, ONE)
        assert await states(cluster) == {1: "ready", 2: "unloaded"}
        slow = asyncio.create_task(cluster.predict([5, 5], version=1))
        loaded = await order(cluster, "POST", "/servables/toy/load")
        assert [(each["version"], each["state"]) for each in loaded["versions"]] == [(2, "ready")]
        # Every agent that served the old version serves the new one before it takes over.
        counted = await asyncio.to_thread(cluster.metrics_of, "worker")
        assert counted["mindserve_worker_agents_holding servable=toy version=2"] == 2
        assert counted["mindserve_worker_loads_total outcome=ok servable=toy"] == 2
        assert outputs(await slow) == [[5, 5]]
        await more(answers, TWO)
        await until(lambda: is_in(cluster, {1: "unloaded", 2: "ready"}), what="version 1 to end")
        before = answers[ONE]
        await more(answers, TWO)
        assert answers[ONE] == before
        counted = await asyncio.to_thread(cluster.metrics_of, "worker")
        assert "mindserve_worker_agents_holding servable=toy version=1" not in counted


async def is_in(cluster, wanted):
    return await states(cluster) == wanted


async def test_versions_are_served_side_by_side_and_unloaded_by_order(cluster):
    add_servable(cluster.servables, function="identity")
    add_servable(cluster.servables, version=3, function="identity")
    await start(cluster)
    add_servable(cluster.servables, version=2, function="double")
    await order(cluster, "POST", "/servables/toy/version/2/load")
    assert await states(cluster) == {1: "unloaded", 2: "ready", 3: "ready"}
    async with traffic(cluster) as newest, traffic(cluster, 2, version=2) as second:
        await more(newest, ONE)
        await more(second, TWO)
        gone = await order(cluster, "POST", "/servables/toy/version/3/unload")
        assert [(each["version"], each["state"]) for each in gone["versions"]] == [(3, "unloaded")]
        await more(newest, TWO)
    assert await states(cluster) == {1: "unloaded", 2: "ready", 3: "unloaded"}
    await order(cluster, "POST", "/servables/toy/version/3/load")
    assert outputs(await cluster.predict([1, 2])) == [list(ONE)]
    # Once more, while it is still on its way out.
    leaving = asyncio.create_task(order(cluster, "POST", "/servables/toy/version/3/unload"))
    await until(
        lambda: is_in(cluster, {1: "unloaded", 2: "ready", 3: "retiring"}), what="its way out"
    )
    await order(cluster, "POST", "/servables/toy/version/3/load")
    await leaving
    assert await states(cluster) == {1: "unloaded", 2: "ready", 3: "ready"}
    assert outputs(await cluster.predict([1, 2])) == [list(ONE)]
    await order(cluster, "POST", "/servables/toy/unload")
    with pytest.raises(grpc.aio.AioRpcError) as away:
        await cluster.predict([1, 2])
    assert away.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_failed_load_leaves_the_old_version_serving_and_says_why(cluster):
    add_servable(cluster.servables, function="identity")
    await start(cluster, agents=2)
    add_servable(cluster.servables, version=2, function="double")
    model = cluster.servables / "toy" / "2" / "model.json"
    good = model.read_text()
    model.write_text("{")
    async with (
        traffic(cluster) as answers,
        grpc.aio.insecure_channel(cluster.admin) as channel,
    ):
        load = channel.unary_unary(
            "/mindserve.serving.v1.Repository/Load",
            request_serializer=pb.LoadRequest.SerializeToString,
            response_deserializer=pb.RepositoryReply.FromString,
        )
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await load(pb.LoadRequest(servable="toy"), timeout=60)
        assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "servable 'toy' version 2: model file 'model.json' is no toy" in (
            failed.value.details()
        )
        assert str(cluster.folder) not in failed.value.details()
        index = await order(cluster, "GET", "/servables/toy")
        assert [each["state"] for each in index["versions"]] == ["ready", "failed"]
        assert "is no toy" in index["versions"][1]["detail"]
        counted = await asyncio.to_thread(cluster.metrics_of, "worker")
        assert counted["mindserve_worker_agents_holding servable=toy version=1"] == 2
        assert "mindserve_worker_agents_holding servable=toy version=2" not in counted
        await more(answers, ONE)
        # The configuration may be what is broken.
        config = cluster.servables / "toy" / "servable_config.py"
        text = config.read_text()
        config.write_text("1 / 0\n")
        answer = await order(cluster, "POST", "/servables/toy/version/2/load", status=500)
        assert "ZeroDivisionError" in answer["error_msg"]
        config.write_text(text)
        model.write_text(good)
        reply = await load(pb.LoadRequest(servable="toy"), timeout=60)
        assert [each.version for each in reply.versions] == [2]
        await more(answers, TWO)


async def test_whoever_stops_waiting_does_not_stop_the_load_and_an_unload_does(cluster):
    add_servable(cluster.servables, function="identity")
    flag = cluster.folder / "flag"
    config = cluster.servables / "toy" / "servable_config.py"
    start_of_config = f"""import os, time
while not os.path.exists({str(flag)!r}) and os.path.exists({str(flag)!r} + ".wait"):
    time.sleep(0.01)
"""
    config.write_text(start_of_config + config.read_text())
    await start(cluster)
    text = config.read_text()
    for version in (2, 3):
        add_servable(cluster.servables, version=version, function="double")
    config.write_text(text)
    (cluster.folder / "flag.wait").touch()
    async with (
        traffic(cluster) as answers,
        grpc.aio.insecure_channel(cluster.admin) as channel,
    ):
        load = channel.unary_unary(
            "/mindserve.serving.v1.Repository/Load",
            request_serializer=pb.LoadRequest.SerializeToString,
            response_deserializer=pb.RepositoryReply.FromString,
        )
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await load(pb.LoadRequest(servable="toy", version=2), timeout=0.5)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        unwanted = asyncio.ensure_future(load(pb.LoadRequest(servable="toy", version=3)))
        waiting = {1: "ready", 2: "loading", 3: "loading"}
        await until(lambda: is_in(cluster, waiting), what="both loads")
        await order(cluster, "POST", "/servables/toy/version/3/unload")
        with pytest.raises(grpc.aio.AioRpcError) as abandoned:
            await unwanted
        assert "version 3: it was unloaded while it was loading" in abandoned.value.details()
        await more(answers, ONE)
        flag.touch()
        await more(answers, TWO)
    assert await states(cluster) == {1: "ready", 2: "ready", 3: "unloaded"}


async def test_orders_that_name_nothing_are_refused_and_change_nothing(cluster):
    add_servable(cluster.servables)
    await start(cluster)
    for path, status, text in (
        ("/servables/nobody/load", 404, "servable 'nobody' is not in the repository"),
        ("/servables/toy/version/9/load", 404, "servable 'toy' version 9 is not in the"),
        ("/servables/..%2Ftoy/load", 404, "servable '../toy' is not in the repository"),
        ("/servables/toy/version/..%2F1/load", 404, "please check url"),
        ("/servables/toy", 405, "expected GET, got POST"),
    ):
        assert text in (await order(cluster, "POST", path, status=status))["error_msg"]
    # A page in the browser of somebody on this host.
    answer = await ask(cluster.admin_rest, "POST", "/servables/toy/unload", origin="http://evil")
    assert answer.status == 403
    assert await states(cluster) == {1: "ready"}


async def test_folders_that_come_and_go_are_followed_and_half_copied_ones_wait(cluster):
    add_servable(cluster.servables, function="identity")
    await start(cluster, worker=("--watch-seconds", "0.3", "--version-policy", "latest:2"))
    add_servable(cluster.folder, "source", version=2, function="double")
    new = cluster.servables / "toy" / "2"
    async with traffic(cluster) as answers:
        await more(answers, ONE)
        new.mkdir()
        content = (cluster.folder / "source" / "2" / "model.json").read_bytes()
        # As a slow copy would: more of it at each look.
        for end in range(0, len(content), 5):
            (new / "model.json").write_bytes(content[:end])
            await more(answers, ONE, 10)
        (new / "model.json").write_bytes(content)
        await until(lambda: is_in(cluster, {1: "ready", 2: "ready"}), what="version 2")
        await more(answers, TWO)
        assert "not loaded" not in (cluster.folder / "worker.log").read_text()
        shutil.rmtree(new)
        await more(answers, ONE)
        await until(lambda: is_in(cluster, {1: "ready"}), what="version 2 to go")
        add_servable(cluster.servables, "another")
        await cluster.ready("another")


async def test_a_watched_version_that_cannot_be_loaded_is_tried_again_when_it_changes(cluster):
    add_servable(cluster.servables, function="identity")
    await start(cluster, worker=("--watch-seconds", "0.1"))
    async with traffic(cluster) as answers:
        add_servable(cluster.folder, "source", version=2, function="double")
        good = (cluster.folder / "source" / "2" / "model.json").read_text()
        (cluster.servables / "toy" / "2").mkdir()
        model = cluster.servables / "toy" / "2" / "model.json"
        model.write_text("{")
        await until(lambda: is_in(cluster, {1: "ready", 2: "failed"}), what="the failure")
        await more(answers, ONE)
        model.write_text(good)
        await more(answers, TWO)


async def test_labels_split_requests_by_weight_and_a_canary_that_is_away_fails_nobody(cluster):
    add_servable(cluster.servables, function="identity")
    add_servable(cluster.servables, version=2, function="double")
    labels = "toy:stable=1@3,toy:canary=2@1"
    await start(cluster, master=("--labels", labels), worker=("--version-policy", "all"))
    told = await order(cluster, "GET", "/servables/toy/labels")
    assert told == {
        "canary": {"version": 2, "weight": 1, "served": True},
        "stable": {"version": 1, "weight": 3, "served": True},
    }
    async with traffic(cluster) as answers:
        await more(answers, TWO, 100)
        assert 2 < answers[ONE] / answers[TWO] < 4.5
        await order(cluster, "POST", "/servables/toy/version/2/unload")
        canary = answers[TWO]
        await more(answers, ONE, 100)
        assert answers[TWO] == canary
        await order(cluster, "POST", "/servables/toy/version/2/load")
        await more(answers, TWO)
        both = {"stable": {"version": 2, "weight": 1}, "old": {"version": 1}}
        await order(cluster, "PUT", "/servables/toy/labels", both)
        await more(answers, TWO, 20)
        stable = answers[ONE]
        await more(answers, TWO, 100)
        assert answers[ONE] == stable


async def test_a_master_that_is_started_again_forgets_labels_and_workers_keep_their_orders(
    cluster,
):
    for version, function in ((1, "identity"), (2, "double")):
        add_servable(cluster.servables, version=version, function=function)
    labels = ("--labels", "toy:stable=2")
    await start(cluster, master=labels)
    await order(cluster, "POST", "/servables/toy/version/1/load")
    changed = b'{"stable": {"version": 1}, "canary": {"version": 2}}'
    told = await order(cluster, "PUT", "/servables/toy/labels", changed)
    assert set(told) == {"stable", "canary"}
    cluster.end("master")
    cluster.start_master("--admin-rest-address", cluster.admin_rest, *labels)
    await cluster.ready("toy")
    assert await states(cluster) == {1: "ready", 2: "ready"}
    assert await order(cluster, "GET", "/servables/toy/labels") == {
        "stable": {"version": 2, "weight": 0, "served": True}
    }


async def test_a_client_names_a_label(cluster):
    add_servable(cluster.servables, function="identity")
    add_servable(cluster.servables, version=2, function="double")
    rest = f"127.0.0.1:{free_port()}"
    master = ("--rest-address", rest, "--labels", "toy:stable=1,toy:next=3")
    await start(cluster, master=master, worker=("--version-policy", "all"))

    async def infer(label):
        async with AsyncClient(cluster.front, "toy", "predict", version_label=label) as client:
            return await client.infer({"x1": np.array([1, 2], np.float32)})

    async def post(path):
        answer = await ask(rest, "POST", path, {"instances": {"x1": [1.5, 2.5]}})
        return answer.status, answer.json

    reply = await cluster.predict([1, 2])
    assert outputs(reply) == [list(TWO)]
    assert reply.servable_spec.version_number == 2
    (answer,) = await infer("stable")
    assert answer["y"].tolist() == list(ONE)
    assert await post("/model/toy/label/stable:predict") == (
        200,
        {"instances": [{"y": [1.5, 2.5]}]},
    )
    status, unknown = await post("/model/toy/label/nothing:predict")
    assert status == 404
    assert (
        "label(nothing) , label is not available, labels of it: next, stable"
        in (unknown["error_msg"])
    )
    status, away = await post("/model/toy/label/next:predict")
    assert status == 503
    assert "label(next) , it is version 3, no worker serves it now" in away["error_msg"]
    assert "label(nothing) , label is not available" in str(await infer("nothing"))
    assert "no worker serves it now" in str(await infer("next"))


async def test_functions_in_processes_of_their_own_change_version_under_traffic_too(cluster):
    add_servable(cluster.servables, function="identity")
    config = cluster.servables / "toy" / "servable_config.py"
    text = config.read_text().replace("(model, x1,", "(model, same,")
    text = text.replace(
        "    return", "    same = register.add_stage(once, x1, outputs_count=1)\n    return"
    ).replace("@register", "def once(x):\n    return x\n\n\n@register")
    config.write_text(text)
    await start(cluster, worker=("--stage-processes", "2"))
    add_servable(cluster.servables, version=2, function="double")
    config.write_text(text)
    async with traffic(cluster) as answers:
        await more(answers, ONE)
        await order(cluster, "POST", "/servables/toy/load")
        await more(answers, TWO)
        config.write_text("1 / 0\n")
        await order(cluster, "POST", "/servables/toy/version/1/load", status=500)
        await more(answers, TWO)


async def test_the_orders_of_the_documentation_do_what_it_says(cluster):
    add_servable(cluster.servables, version=3)
    await start(cluster)
    add_servable(cluster.servables, version=4)
    lines = (ROOT / "docs" / "operations.md").read_text().splitlines()
    shown = [at for at, line in enumerate(lines) if line.startswith("$ curl") and ":5511" in line]
    assert len(shown) == 2
    for at in shown:
        command = lines[at].removeprefix("$ ").replace("127.0.0.1:5511", cluster.admin_rest)
        run = await asyncio.create_subprocess_exec(
            *shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        printed, _ = await run.communicate()
        told, expected = orjson.loads(printed), orjson.loads(lines[at + 1])
        for each in told.get("versions", ()):
            each["worker"] = "127.0.0.1:6200"
        assert told == expected
    counted = await asyncio.to_thread(cluster.metrics_of, "master")
    assert counted["mindserve_master_label_served label=stable servable=toy version=4"] == 1
