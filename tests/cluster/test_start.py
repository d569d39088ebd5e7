"""Whoever starts services and waits: when they are ready, and why they never will be."""

import asyncio

import pytest

from tests.support.cluster import add_servable, until


async def ended(cluster, name):
    process = cluster.processes[name]
    await until(lambda: process.poll() is not None, what=lambda: f"end of {name}")
    return process.returncode, (cluster.folder / f"{name}.log").read_text().splitlines()[-1]


async def held_by(cluster, agents):
    counted = await asyncio.to_thread(cluster.metrics_of, "worker")
    return counted.get("mindserve_worker_agents_holding servable=toy version=1") == agents


async def test_a_version_is_offered_first_when_enough_agents_hold_it(cluster):
    add_servable(cluster.servables)
    cluster.start_master()
    address = cluster.start_worker("worker", "--agents-at-start", "2")
    await until(lambda: cluster.serving("", address), what="the worker")
    cluster.start_agent("one", address)
    await until(lambda: held_by(cluster, 1), what="one agent")
    assert not await cluster.serving("toy", address)
    cluster.start_agent("two", address)
    await cluster.ready("toy")
    # From then on --min-agents counts.
    cluster.processes["two"].kill()
    await until(lambda: held_by(cluster, 1), what="one agent left")
    assert await cluster.serving("toy", address)


async def test_an_agent_whose_first_load_must_succeed_ends_with_the_reason(cluster):
    add_servable(cluster.servables)
    (cluster.servables / "toy" / "1" / "model.json").write_text("no JSON")
    address = cluster.start_worker()
    cluster.start_agent("patient", address)
    cluster.start_agent("hasty", address, "--first-load-must-succeed")
    status, said = await ended(cluster, "hasty")
    assert status == 1
    assert said.startswith("agent: servable 'toy' version 1: model file 'model.json' is no toy")
    assert cluster.processes["patient"].poll() is None


async def test_an_agent_that_has_worked_tries_again_all_the_same(cluster):
    add_servable(cluster.servables, faults={"-2": "kill"})
    cluster.start_master()
    cluster.start_agent("agent", cluster.start_worker(), "--first-load-must-succeed")
    await cluster.ready("toy")
    model = cluster.servables / "toy" / "1" / "model.json"
    good = model.read_text()
    model.write_text("no JSON")
    with pytest.raises(Exception, match="the device process ended"):
        await cluster.predict([-2, 1])
    log = cluster.folder / "agent.log"
    await until(lambda: "state=failed" in log.read_text(), what="a failed load")
    model.write_text(good)
    await cluster.ready("toy")


async def test_a_worker_that_fails_fast_ends_when_a_method_does_not_fit(cluster):
    add_servable(cluster.servables, inputs=2, function="add")
    config = cluster.servables / "toy" / "servable_config.py"
    config.write_text(config.read_text().replace("x1, x2", "x1, x2, x3"))
    address = cluster.start_worker("worker", "--fail-fast")
    cluster.start_agent("agent", address)
    status, said = await ended(cluster, "worker")
    assert status == 1
    assert said.startswith("worker: The inputs count 3 in register_method not equal to the count 2")
