"""What stage functions take and give, on threads and in processes, through gRPC and REST."""

import asyncio
import base64
import json
import textwrap
import urllib.error
import urllib.request

import numpy as np
import pytest

from mindspore_serving.client import Client
from shared.ports import free_port
from tests.support.cluster import Cluster, add_servable

CONFIG = """
    import os

    import numpy as np

    from mindspore_serving.server import register

    vector = register.declare_model(model_file="model.json", model_format="Reference")
    scalar = register.declare_model(model_file="scalar.json", model_format="Reference")
    ragged = register.declare_model(model_file="ragged.json", model_format="Reference")


    def same(x):
        return x


    def same_in_chunks(instances):
        return [x for (x,) in instances]


    def shape_of(x):
        return f"{x.dtype.name}{list(x.shape)}"


    def cut(x):
        return x[:0], x.sum(), x.sum().item()


    @register.register_method(output_names=["y", "shape"])
    def echo(x):
        y = register.add_stage(same, x, outputs_count=1)
        return y, register.add_stage(shape_of, y, outputs_count=1)


    @register.register_method(output_names=["y", "shape"])
    def echo_in_chunks(x):
        y = register.add_stage(same_in_chunks, x, outputs_count=1, batch_size=2)
        return y, register.add_stage(shape_of, y, outputs_count=1)


    @register.register_method(output_names=["empty", "scalar", "number"])
    def made(x):
        return register.add_stage(cut, x, outputs_count=3)


    @register.register_method(output_names=["y"])
    def double(x):
        x = register.add_stage(same, x, outputs_count=1)
        return register.add_stage(vector, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def double_scalar(x):
        x = register.add_stage(same, x, outputs_count=1)
        return register.add_stage(scalar, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def double_ragged(x):
        return register.add_stage(ragged, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def double_called(x):
        return register.add_stage(lambda x: ragged.call(x), x, outputs_count=1)


    def add_one(x):
        x += 1
        return x.sum()


    def add_one_to_each(instances):
        for x, number in instances:
            x += 1
            yield x.sum()


    def reshape(x):
        x.shape = (-1,)
        return x


    def times_ten(x):
        x *= 10
        return x.sum()


    @register.register_method(output_names=["sums", "x", "tens"])
    def change(x):
        one = register.add_stage(add_one, x, outputs_count=1)
        two = register.add_stage(add_one_to_each, x, one, outputs_count=1, batch_size=0)
        tens = register.add_stage(lambda x, two: times_ten(x), x, two, outputs_count=1)
        return register.add_stage(lambda *sums: np.array(sums), one, two, outputs_count=1), x, tens


    @register.register_method(output_names=["y", "x"])
    def change_what_is_returned(x):
        y = register.add_stage(reshape, x, outputs_count=1)
        z = register.add_stage(times_ten, y, outputs_count=1)
        return y, x


    @register.register_method(output_names=["best"])
    def best(x):
        return register.add_stage("argmax_cpp", x, outputs_count=1)


    class Unspeakable(Exception):
        def __str__(self):
            raise RuntimeError("no words")


    RAISES = {
        "surrogate": lambda: os.stat(os.fsdecode(b"/no file \\xff")),
        "long": lambda: int("x" * 100_000),
        "control": lambda: 1 / int("\\x00\\x07" != "") and {}["\\x00\\x1b\\u2028"],
        "unspeakable": lambda: (_ for _ in ()).throw(Unspeakable()),
        "bytes": lambda: b"\\xff\\xfe".decode(),
    }


    def raise_(what):
        if what in RAISES:
            RAISES[what]()
        return what


    @register.register_method(output_names=["y"])
    def fail(what):
        return register.add_stage(raise_, what, outputs_count=1, tag="My own tag")
"""
OLD_CONFIG = """
    import numpy as np

    from mindspore_serving.server import register

    register.declare_servable(servable_file="model.json", model_format="Reference")


    def before(x):
        if x[0] == 1:
            raise ValueError("one")
        return x


    def after(y):
        if y[0] == 4:
            raise ValueError("two, doubled")
        return y


    def before_many(instances):
        for (x,) in instances:
            yield before(x)


    def after_many(instances):
        for (y,) in instances:
            yield after(y)


    @register.register_method(output_names=["y"])
    def each(x):
        x = register.call_preprocess(before, x)
        y = register.call_servable(x)
        y = register.call_postprocess(after, y)
        return y


    @register.register_method(output_names=["y"])
    def many(x):
        x = register.call_preprocess_pipeline(before_many, x)
        y = register.call_servable(x)
        y = register.call_postprocess_pipeline(after_many, y)
        return y
"""
TENSORS_CONFIG = """
    import numpy as np

    from mindspore_serving.server import register

    model = register.declare_model(model_file="ragged.json", model_format="Reference")


    def tensors_of(x):
        import mindspore as ms

        tensor = ms.Tensor(x)
        return tensor, ms.Tensor(3, ms.int32), tensor.T


    def one_of(x):
        import mindspore as ms

        return ms.Tensor(x) * 2


    def chunk_of(instances):
        import mindspore as ms

        return [ms.Tensor(x) + 1 for (x,) in instances]


    def parameter_of(x):
        import mindspore as ms

        return [ms.Parameter(ms.Tensor(x), name="weight")]


    def doubled(x):
        import mindspore as ms

        return ms.Tensor(model.call(ms.Tensor(x)))


    def half_of(x):
        import mindspore as ms

        return ms.Tensor(x, ms.bfloat16)


    @register.register_method(output_names=["same", "three", "turned"])
    def several(x):
        return register.add_stage(tensors_of, x, outputs_count=3)


    @register.register_method(output_names=["y"])
    def one(x):
        y = register.add_stage(one_of, x, outputs_count=1)
        return register.add_stage(lambda y: y - 1, y, outputs_count=1)


    @register.register_method(output_names=["y"])
    def chunk(x):
        return register.add_stage(chunk_of, x, outputs_count=1, batch_size=0)


    @register.register_method(output_names=["y"])
    def parameter(x):
        return register.add_stage(parameter_of, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def call(x):
        return register.add_stage(doubled, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def half(x):
        return register.add_stage(half_of, x, outputs_count=1)
"""


@pytest.fixture(scope="module", params=["threads", "processes"])
def serving(tmp_path_factory, request):
    """A cluster whose Python stages run on threads, or in two processes."""
    cluster = Cluster(tmp_path_factory.mktemp("serving"))
    for name, config in (("toy", CONFIG), ("old", OLD_CONFIG), ("tensors", TENSORS_CONFIG)):
        add_servable(cluster.servables, name)
        folder = cluster.servables / name
        (folder / "servable_config.py").write_text(textwrap.dedent(config))
        model = json.loads((folder / "1" / "model.json").read_text())
        for other, dims in (("scalar", [-1]), ("ragged", [-1, -1])):
            model["inputs"][0]["dims"] = model["outputs"][0]["dims"] = dims
            (folder / "1" / f"{other}.json").write_text(json.dumps(model))
    cluster.rest = f"127.0.0.1:{free_port()}"
    try:
        cluster.start_master("--rest-address", cluster.rest)
        apart = ("--stage-processes", "2") if request.param == "processes" else ()
        cluster.start_agent("agent", cluster.start_worker("worker", *apart))
        for name in ("toy", "old", "tensors"):
            asyncio.run(cluster.ready(name))
        yield cluster
    finally:
        cluster.stop()


def infer(serving, method, instances, servable="toy"):
    with Client(serving.front, servable, method) as client:
        return client.infer(instances, timeout=60)


def post(serving, method, instances, servable="toy", status=200):
    """What REST answers."""
    body = json.dumps({"instances": instances}).encode()
    url = f"http://{serving.rest}/model/{servable}:{method}"
    try:
        with urllib.request.urlopen(url, body, timeout=60) as answer:
            got, content = answer.status, answer.read()
    except urllib.error.HTTPError as failed:
        with failed:
            got, content = failed.code, failed.read()
    assert got == status, content
    return json.loads(content)


def packed(array):
    content = base64.b64encode(array.tobytes()).decode()
    return {"b64": content, "type": array.dtype.name, "shape": array.shape}


SCALARS_AND_EMPTY = [
    np.float32(2.5),
    np.array(True),
    np.array(-7, np.int8),
    np.zeros(0, np.float32),
    np.zeros((1, 0), np.int64),
    np.zeros((2, 3, 0), np.float16),
]


@pytest.mark.parametrize("method", ["echo", "echo_in_chunks"])
def test_scalars_and_empty_arrays_pass_functions_through_grpc(serving, method):
    for sent, got in zip(
        SCALARS_AND_EMPTY,
        infer(serving, method, [{"x": each} for each in SCALARS_AND_EMPTY]),
        strict=True,
    ):
        assert got["shape"] == f"{sent.dtype.name}{list(sent.shape)}"
        assert (got["y"].dtype, got["y"].shape) == (sent.dtype, sent.shape)
        assert got["y"].tolist() == sent.tolist()


@pytest.mark.parametrize("method", ["echo", "echo_in_chunks"])
def test_scalars_and_empty_arrays_pass_functions_through_rest(serving, method):
    answer = post(serving, method, [{"x": packed(each)} for each in SCALARS_AND_EMPTY])
    for sent, got in zip(SCALARS_AND_EMPTY, answer["instances"], strict=True):
        assert got["shape"] == f"{sent.dtype.name}{list(sent.shape)}"
        assert got["y"] == sent.tolist()
    plain = [{"x": 3}, {"x": 1.5}, {"x": True}]
    assert post(serving, method, plain) == {
        "instances": [
            {"y": 3, "shape": "int32[]"},
            {"y": 1.5, "shape": "float32[]"},
            {"y": True, "shape": "bool[]"},
        ]
    }


def test_functions_make_scalars_and_empty_arrays(serving):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (made,) = infer(serving, "made", {"x": x})
    assert (made["empty"].shape, made["empty"].dtype) == ((0, 3), np.float32)
    assert (made["scalar"].shape, made["scalar"].dtype) == ((), np.float32)
    assert (made["number"].shape, made["number"].dtype) == ((), np.float64)
    assert made["scalar"] == made["number"] == 15
    assert post(serving, "made", {"x": x.tolist()}) == {
        "instances": [{"empty": [], "scalar": 15, "number": 15}]
    }


def test_the_builtin_function_finds_the_greatest(serving):
    asked = [[1, 3, 2], [[0, 0], [0, 7]], []]
    *found, failed = infer(serving, "best", [{"x": np.array(x, np.float32)} for x in asked])
    assert [(each["best"].item(), each["best"].dtype.name) for each in found] == [
        (1, "int64"),
        (3, "int64"),
    ]
    assert failed["error"].startswith("Call Function 'argmax_cpp' Failed, method: 'best', stage")


@pytest.mark.parametrize("size", [2, 100_000])
def test_what_a_function_changes_in_place_later_stages_see(serving, size):
    """As in the original, with stage processes too: small in messages, large in memory."""
    asked = [{"x": np.full(size, n, np.float64)} for n in range(3)]
    for n, got in enumerate(infer(serving, "change", asked)):
        assert got["sums"].tolist() == [size * (n + 1), size * (n + 2)]
        assert got["tens"] == size * 10 * (n + 2)
        assert np.array_equal(got["x"], np.full(size, 10 * (n + 2)))
    (got,) = infer(serving, "change_what_is_returned", {"x": np.full((2, size), np.nan)})
    assert got["y"].shape == got["x"].shape == (2 * size,)


def test_instances_of_a_model_may_be_scalars(serving):
    answer = infer(serving, "double_scalar", [{"x": np.float32(n)} for n in range(3)])
    assert [(each["y"].shape, each["y"].item()) for each in answer] == [((), 0), ((), 2), ((), 4)]
    assert post(serving, "double_scalar", [{"x": 1.5}, {"x": 2.5}]) == {
        "instances": [{"y": 3.0}, {"y": 5.0}]
    }


@pytest.mark.parametrize("method", ["double_ragged", "double_called"])
def test_instances_of_a_model_may_be_empty(serving, method):
    empty, full = np.zeros(0, np.float32), np.ones(2, np.float32)
    answer = infer(serving, method, [{"x": empty}, {"x": full}, {"x": empty}])
    assert [each["y"].tolist() for each in answer] == [[], [2, 2], []]
    assert post(serving, method, [{"x": packed(empty)}, {"x": [1.5]}]) == {
        "instances": [{"y": []}, {"y": [3.0]}]
    }


GOOD = np.array([1, 2], np.float32)
SIZE = "Given model input 0 size 12 not match the size 8 defined in model"
DTYPE = (
    "Given model input 0 data type kMSI_Int32 not match the data type kMSI_Float32 defined in model"
)
WRONG = {SIZE: np.zeros(3, np.float32), DTYPE: np.zeros(2, np.int32)}


@pytest.mark.parametrize("words", WRONG)
def test_a_tensor_that_does_not_fit_the_model_fails_its_instance_alone(serving, words):
    asked = [{"x": GOOD}, {"x": WRONG[words]}, {"x": GOOD}]
    first, failed, last = infer(serving, "double", asked)
    assert first["y"].tolist() == last["y"].tolist() == [2, 4]
    assert words in failed["error"]
    asked = [{"x": each["x"].tolist()} for each in asked]
    asked[1]["x"] = packed(WRONG[words])
    first, failed, last = post(serving, "double", asked)["instances"]
    assert first == last == {"y": [2.0, 4.0]}
    assert words in failed["error_msg"]


def test_tensors_that_fail_alike_are_one_error_and_others_one_each(serving):
    size, dtype = WRONG.values()
    alike = infer(serving, "double", [{"x": size}, {"x": size}])
    assert isinstance(alike, dict)
    assert SIZE in alike["error"]
    one, other = infer(serving, "double", [{"x": size}, {"x": dtype}])
    assert SIZE in one["error"]
    assert DTYPE in other["error"]
    alike = post(serving, "double", [{"x": packed(size)}] * 2, status=400)
    assert SIZE in alike["error_msg"]
    different = post(serving, "double", [{"x": packed(size)}, {"x": packed(dtype)}], status=400)
    assert [set(each) for each in different["instances"]] == [{"error_msg"}] * 2
    assert DTYPE in different["instances"][1]["error_msg"]


def test_a_tensor_whose_bytes_do_not_fit_its_shape_refuses_the_request(serving):
    """As in the original: what no tensor is stops at the door."""
    short = {"b64": "AAAA", "type": "float32", "shape": [1]}
    asked = [{"x": [1.5, 2.5]}, {"x": short}]
    answer = post(serving, "double", asked, status=400)
    assert "size is not matched, decode base64 size:3" in answer["error_msg"]


@pytest.mark.parametrize("method", ["each", "many"])
def test_functions_of_the_older_interfaces_fail_in_the_originals_words(serving, method):
    suffix = "_many" if method == "many" else ""
    rows = [[1, 0], [2, 0], [3, 0]]
    asked = [{"x": np.array(row, np.float32)} for row in rows]
    one, two, three = infer(serving, method, asked, "old")
    assert one["error"] == (
        f"Call Preprocess Failed, method: '{method}', stage index(begin with 1): 1,"
        f" error msg: Function 'old.before{suffix}': ValueError: one"
    )
    assert two["error"] == (
        f"Call Postprocess Failed, method: '{method}', stage index(begin with 1): 3,"
        f" error msg: Function 'old.after{suffix}': ValueError: two, doubled"
    )
    assert three["y"].tolist() == [6, 0]
    answer = post(serving, method, [{"x": [float(each) for each in row]} for row in rows], "old")
    one, two, three = answer["instances"]
    assert "Preprocess Failed" in one["error_msg"]
    assert "Postprocess Failed" in two["error_msg"]
    assert three == {"y": [6.0, 0.0]}


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("surrogate", "FileNotFoundError: [Errno 2] No such file or directory: '/no file \\udcff'"),
        ("long", "ValueError: invalid literal for int() with base 10: 'xxx"),
        ("control", "KeyError: '\\x00\\x1b\\u2028'"),
        ("unspeakable", "Unspeakable: (its text cannot be had: RuntimeError)"),
        ("bytes", "UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff in position 0"),
    ],
)
def test_whatever_an_exception_says_its_instance_alone_fails_and_the_answer_can_be_read(
    serving, what, words
):
    where = "Call My own tag Failed, method: 'fail', stage index(begin with 1): 1, error msg: "
    where += "Function 'toy.raise_': "
    fine, failed, fine_too = infer(serving, "fail", [{"what": w} for w in ("fine", what, "fine")])
    assert fine == fine_too == {"y": "fine"}
    assert failed["error"].startswith(where + words)
    fine, failed = post(serving, "fail", [{"what": "fine"}, {"what": what}])["instances"]
    assert fine == {"y": "fine"}
    assert failed["error_msg"].startswith(where + words)


@pytest.mark.mindspore
@pytest.mark.timeout(300)
def test_tensors_of_mindspore_are_served_like_arrays(serving):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    (several,) = infer(serving, "several", {"x": x}, "tensors")
    assert np.array_equal(several["same"], x)
    assert (several["three"].shape, several["three"].dtype) == ((), np.int32)
    assert several["three"] == 3
    assert np.array_equal(several["turned"], x.T)
    (one,) = infer(serving, "one", {"x": x}, "tensors")
    assert (one["y"].dtype, one["y"].tolist()) == (np.float32, (2 * x - 1).tolist())
    chunk = infer(serving, "chunk", [{"x": x}, {"x": x[0]}], "tensors")
    assert [each["y"].tolist() for each in chunk] == [(x + 1).tolist(), (x[0] + 1).tolist()]
    (parameter,) = infer(serving, "parameter", {"x": x}, "tensors")
    assert np.array_equal(parameter["y"], x)
    (called,) = infer(serving, "call", {"x": x[0]}, "tensors")
    assert np.array_equal(called["y"], 2 * x[0])
    answer = post(serving, "several", {"x": x.tolist()}, "tensors")
    assert answer == {"instances": [{"same": x.tolist(), "three": 3, "turned": x.T.tolist()}]}


@pytest.mark.mindspore
@pytest.mark.timeout(300)
def test_a_tensor_of_a_type_that_cannot_travel_fails_its_instance(serving):
    failed = infer(serving, "half", {"x": np.ones(2, np.float32)}, "tensors")
    assert "bfloat16 cannot be served" in failed["error"]
