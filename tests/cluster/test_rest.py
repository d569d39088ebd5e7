"""The RESTful entrance before a real worker and a real agent."""

import asyncio
import base64
import signal
import textwrap
from contextlib import suppress

import numpy as np
import orjson
import pytest

from shared.ports import free_port
from tests.support.cluster import add_servable, until
from tests.support.http1 import Http, ask

CONFIG = """
    from mindspore_serving.server import register

    model = register.declare_model(model_file="model.json", model_format="Reference")


    def only_positive(x):
        if x[0] < 0:
            raise ValueError(f"{x[0]} is negative")
        return x


    @register.register_method(output_names=["y"])
    def double(x):
        return register.add_stage(model, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def echo(x):
        return x


    @register.register_method(output_names=["text"])
    def describe(x):
        return register.add_stage(lambda x: f"{x.dtype}{list(x.shape)}", x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def positive(x):
        return register.add_stage(only_positive, x, outputs_count=1)
"""


@pytest.fixture
async def rest(cluster):
    """The address of the entrance of a cluster that serves ``toy``."""
    add_servable(cluster.servables, latency_seconds=0.3)
    (cluster.servables / "toy" / "servable_config.py").write_text(textwrap.dedent(CONFIG))
    cluster.rest = f"127.0.0.1:{free_port()}"
    cluster.start_master("--rest-address", cluster.rest)
    cluster.start_agent("agent", cluster.start_worker())
    await cluster.ready("toy")
    return cluster


async def call(cluster, method, instances, status=200):
    answer = await ask(cluster.rest, "POST", f"/model/toy:{method}", {"instances": instances})
    assert answer.status == status, answer.body
    return answer.json


def packed(array):
    content = base64.b64encode(array.tobytes()).decode()
    return {"b64": content, "type": array.dtype.name, "shape": array.shape}


async def test_values_of_every_kind_reach_stages_and_come_back(rest):
    for sent, kind in (
        (1, "int32[]"),
        (1.5, "float32[]"),
        ([[True, False]], "bool[1, 2]"),
        (packed(np.ones((2, 3), np.float16)), "float16[2, 3]"),
        (packed(np.array(7, np.uint64)), "uint64[]"),
        ({"b64": "AQI="}, "uint8[2]"),
    ):
        assert await call(rest, "describe", {"x": sent}) == {"instances": [{"text": kind}]}
    for sent in (1, 1.5, [[1, 2], [3, 4]], True, "text", {"b64": "AQI="}):
        assert await call(rest, "echo", [{"x": sent}]) == {"instances": [{"y": sent}]}


async def test_models_are_called_and_each_instance_has_its_own_outcome(rest):
    asked = [{"x": [1.5, 2.0]}, {"x": [0.5, -1.0]}]
    assert await call(rest, "double", asked) == {
        "instances": [{"y": [3.0, 4.0]}, {"y": [1.0, -2.0]}]
    }
    some = await call(rest, "positive", [{"x": [1, 2]}, {"x": [-1, 2]}])
    assert some["instances"][0] == {"y": [1, 2]}
    assert "-1 is negative" in some["instances"][1]["error_msg"]
    none = await call(rest, "positive", [{"x": [-1, 2]}, {"x": [-1, 3]}], status=500)
    assert "-1 is negative" in none["error_msg"]
    wrong = await call(rest, "double", {"x": [[1.5]]}, status=400)
    assert "expected float32[?, 2]" in wrong["error_msg"] or "float32" in wrong["error_msg"]
    missing = await call(rest, "double", {"z": 1}, status=400)
    assert "Cannot find input x in instance input" in missing["error_msg"]


async def test_a_terminated_master_answers_what_it_accepted(rest):
    http = await Http.connect(rest.rest)
    http.write("POST", "/model/toy:double", orjson.dumps({"instances": {"x": [1.5, 2.0]}}))

    async def is_in_flight():
        counted = await asyncio.to_thread(rest.metrics_of, "master")
        return counted["mindserve_master_requests_in_flight"] == 1

    await until(is_in_flight, what="the request to be in flight")
    rest.processes["master"].send_signal(signal.SIGTERM)
    assert (await http.read()).json == {"instances": [{"y": [3.0, 4.0]}]}
    assert await http.is_closed()
    http.hang_up()
    await until(lambda: rest.processes["master"].poll() is not None, what="its end")
    assert rest.processes["master"].returncode == 0


async def test_a_client_that_hangs_up_is_forgotten(rest):
    http = await Http.connect(rest.rest)
    http.write("POST", "/model/toy:double", orjson.dumps({"instances": {"x": [1.5, 2.0]}}))

    async def counted(name, at_least):
        found = await asyncio.to_thread(rest.metrics_of, "master")
        return found.get(name, 0) >= at_least

    await until(
        lambda: counted("mindserve_master_requests_in_flight", 1), what="the request in flight"
    )
    http.hang_up()
    cancelled = "mindserve_master_requests_total outcome=Cancelled"
    await until(lambda: counted(cancelled, 1), what="it to be cancelled")


async def test_a_large_body_is_refused_while_it_streams_in(rest):
    http = await Http.connect(rest.rest)
    http.writer.write(b"POST /model/toy:echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    answer = asyncio.create_task(http.read())
    sent = 0
    while not answer.done():
        http.writer.write(piece)
        sent += 1
        assert sent < 300  # of a body without end
        with suppress(ConnectionError):
            await http.writer.drain()
        await asyncio.sleep(0)
    assert (await answer).status == 413
    http.hang_up()
