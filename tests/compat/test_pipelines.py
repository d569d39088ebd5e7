"""Pipelines of versions 1.3 and 1.4, as scripts of those versions write them."""

import numpy as np
import pytest

from mindspore_serving.client import Client
from tests.support.scripts import RunningScript, write_servable

# After the document on pipelines of version 1.3, with more to go wrong; that itself is in
# test_pipeline_document.py.
CONFIG = '''
import numpy as np
from mindspore_serving.server import register
from mindspore_serving.server.register import PipelineServable

register.declare_servable(servable_file=["add.json", "sub.json"], model_format="Reference")


def add_preprocess(x):
    """define preprocess, this example has one input and one output"""
    x = np.add(x, x)
    return x


def describe(x):
    return str(x)


@register.register_method(output_names=["y"])
def fun1(x, other):
    x = register.call_preprocess(add_preprocess, x)
    y = register.call_servable(x, other, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def fun2(x, other):
    y = register.call_servable(x, other, subgraph=1)
    return y


@register.register_method(output_names=["text", "raw", "y"])
def kinds(text, raw, y):
    return text, raw, y


servable1 = PipelineServable(servable_name="matmul", method="fun1", version_number=0)
servable2 = PipelineServable(servable_name="matmul", method="fun2", version_number=0)
echo = PipelineServable("matmul", "kinds", 1)


@register.register_pipeline(output_names=["x", "z"])
def predict(x, y):
    x = servable1.run(x, y)
    for i in range(10):
        print(i)
        z = servable2.run(y, x)
    return x, z


@register.register_pipeline(output_names="y")
def many(x, y):
    rows = [(x + n, y) for n in range(8)]
    found = servable2.run(rows)
    assert isinstance(found, list) and all(isinstance(each, tuple) for each in found)
    return sum(each for each, in found)


@register.register_pipeline(output_names=["text", "raw", "y"])
def values(text, raw, y):
    text, raw, y = echo.run(text, raw, y)
    raw += 1
    return text, bytes(raw), y


CALLS = {
    "wrong count": lambda x: servable1.run(x),
    "no list": lambda x: servable1.run(x, [123, [456]]),
    "empty": lambda x: servable1.run([]),
    "wrong shape": lambda x: servable2.run(np.zeros(3, np.float32), x),
    "no method": lambda x: PipelineServable("matmul", "fun3").run(x),
    "no servable": lambda x: PipelineServable("nobody", "fun1").run(x),
    "no version": lambda x: PipelineServable("matmul", "fun1", 7).run(x, x),
    "a pipeline": lambda x: PipelineServable("matmul", "predict").run(x, x),
    "three outputs": lambda x: (x, x, x),
    "a type": lambda x: [object()],
    "raises": lambda x: {}["key"],
    "fine": lambda x: servable2.run(x, x),
}


@register.register_pipeline(output_names="y")
def fails(what, x):
    return CALLS[what](x)
'''
SCRIPT = """
    import os
    import sys
    from mindspore_serving import server

    def start():
        servable_dir = os.path.dirname(os.path.realpath(sys.argv[0]))
        config = server.ServableStartConfig(servable_dir, "matmul", device_ids=0)
        server.start_servables(config)
        server.start_grpc_server("127.0.0.1:PORT")
        server.start_restful_server("127.0.0.1:PORT2")

    if __name__ == "__main__":
        start()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipelines")
    write_servable(folder, CONFIG, name="matmul", dims=(-1, 2))
    with RunningScript(folder, SCRIPT) as script:
        script.address = script.until("gRPC server start success").rpartition(" ")[2]
        script.until("RESTful server start success")
        script.folder = folder
        yield script


@pytest.fixture
def call(server):
    clients = []

    def make(method):
        clients.append(Client(server.address, "matmul", method))
        return clients[-1]

    yield make
    for each in clients:
        each.close()


ONES, TWOS = np.full(2, 1, np.float32), np.full(2, 2, np.float32)


def test_a_pipeline_calls_methods_of_its_servable_in_a_loop(call, server):
    (answer,) = call("predict").infer({"x": ONES, "y": TWOS})
    assert (answer["x"].tolist(), answer["z"].tolist()) == ([4, 4], [-2, -2])
    log = server.folder / "serving_logs" / "log_matmul_worker_version1.log"
    assert [line for line in log.read_text().splitlines() if line.isdecimal()] == list("0123456789")


def test_a_list_means_several_instances_and_gives_a_list_of_tuples(call):
    (answer,) = call("many").infer({"x": ONES, "y": TWOS})
    assert answer["y"].tolist() == [sum(1 + n - 2 for n in range(8))] * 2


def test_text_bytes_and_numbers_go_through(call):
    (answer,) = call("values").infer({"text": "grüezi", "raw": b"\x00\x01", "y": 7})
    assert answer["text"] == "grüezi"
    assert answer["raw"] == b"\x01\x02"
    assert answer["y"].tolist() == [7]


def test_many_run_at_once_on_few_threads(call):
    """More pipelines than stage threads, each of whose methods needs such a thread."""
    predict = call("predict")
    waiting = [predict.infer_async({"x": ONES * n, "y": TWOS}) for n in range(40)]
    answers = [each.result(60) for each in waiting]
    assert [each[0]["x"].tolist() for each in answers] == [[2 * n + 2] * 2 for n in range(40)]


def test_clients_see_pipelines_alone(call):
    answer = call("fun1").infer({"x": ONES, "other": ONES})
    assert answer == {"error": "Request servable(matmul) method(fun1) , method is not available"}


def test_inputs_of_pipelines_are_checked_as_those_of_methods_are(call):
    answer = call("predict").infer([{"x": ONES, "y": ONES}, {"x": ONES, "z": ONES}])
    assert "Cannot find input y in instance input" in answer["error"]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("wrong count", "The inputs count 1 of instance 0 is not equal to the inputs count 2 of"),
        ("no list", "cannot serve a result of type list"),
        ("empty", "PipelineServable(matmul.fun1).run() failed: Input instances count is 0"),
        ("wrong shape", "input 'x1' expected float32[2], got float32[3]"),
        ("no method", "Request servable(matmul) method(fun3) , method is not available"),
        ("no servable", "Request servable(nobody) method(fun1) , servable is not available"),
        ("no version", "method(fun1) version(7) , servable is not available"),
        ("a pipeline", "'predict' is a pipeline itself; a pipeline calls methods"),
        ("three outputs", "expected 1 outputs, got 3"),
        ("a type", "cannot serve a result of type object"),
        ("raises", "KeyError: 'key'"),
    ],
)
def test_a_pipeline_that_fails_fails_its_instance_alone(call, what, words):
    good, failed, other = call("fails").infer(
        [{"what": each, "x": ONES} for each in ("fine", what, "fine")]
    )
    assert good["y"].tolist() == other["y"].tolist() == [0, 0]
    assert failed["error"].startswith(
        "Call Pipeline Failed, method: 'fails', stage index(begin with 1): 1, error msg: "
    )
    assert words in failed["error"]
