"""What every backend does alike, seen from the agent; the reference backend is our fake."""

import json

import numpy as np
import pytest
import pytest_asyncio

from shared.errors import ExecutionFailed, InvalidRequest, LoadFailed
from shared.membership import ModelFiles
from shared.tensors import ElementType
from tests.device.onnx_models import write_models
from tests.support import lite
from tests.support.devices import held, in_its_own_task, loader

pytestmark = pytest.mark.asyncio(loop_scope="module")

KINDS = [kind for kind in ElementType if kind < ElementType.STRING]
ROWS, FOURS, WHOLE = (-1, 2), (4, 3), (2, 2)

# What the MINDIR files of tests/device/models.py hold, for the reference backend:
# function, dims of its two inputs, outputs.
TOYS = {
    "add": ("add", [ROWS, ROWS], [ROWS]),
    "sub": ("sub", [ROWS, ROWS], [ROWS]),
    "add_fours": ("add", [FOURS, FOURS], [FOURS]),
    "add_mixed": ("add", [ROWS, (4, 2)], [(4, 2)]),
    "add_whole": ("add", [WHOLE, WHOLE], [WHOLE]),
    "add_bias": ("add", [FOURS, (3,)], [FOURS]),
    "echo_scalar": ("identity", [WHOLE, ()], [WHOLE, ()]),
    "add_open": ("add", [(-1, -1), (-1, -1)], [(-1, -1)]),
    "echo": ("identity", [ROWS, ROWS], [ROWS, ROWS]),
}


def specs(prefix, dims, kinds=None):
    kinds = kinds or ["float32"] * len(dims)
    return [
        {"name": f"{prefix}{number}", "dtype": kind, "dims": list(each)}
        for number, (each, kind) in enumerate(zip(dims, kinds, strict=True), 1)
    ]


def write_toys(folder, ending):
    toys = {
        name: (function, specs("x", inputs), specs("y", outputs))
        for name, (function, inputs, outputs) in TOYS.items()
    }
    kinds = [kind.dtype.name for kind in KINDS]
    every = specs("x", [ROWS] * len(KINDS), kinds)
    toys["echo_all"] = ("identity", every, every)
    for name, (function, inputs, outputs) in toys.items():
        (folder / f"{name}.{ending}").write_text(
            json.dumps({"function": function, "inputs": inputs, "outputs": outputs})
        )
    return folder


class Models:
    """The same models in the format of one backend."""

    def __init__(self, folder, model_format, ending=""):
        self.folder = folder
        self.format = model_format
        self.ending = ending or model_format

    def files(self, *names, batch=True, without=(), most=8, key=None):
        files = [name if "." in name else f"{name}.{self.ending}" for name in names]
        paths = tuple(str(self.folder / file) for file in files)
        return ModelFiles(key or names[0], self.format, paths, batch, without, most)


@pytest.fixture(
    scope="module",
    params=["reference", "onnx", "lite", pytest.param("mindspore", marks=pytest.mark.mindspore)],
)
def models(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as environment:
        lite.install(environment)
        if request.param == "mindspore":
            yield Models(request.getfixturevalue("mindir"), "mindir")
        elif request.param == "onnx":
            yield Models(write_models(tmp_path_factory.mktemp("onnx")), "onnx")
        elif request.param == "lite":
            toys = write_toys(tmp_path_factory.mktemp("lite"), "mindir")
            yield Models(toys, "mindir_lite", "mindir")
        else:
            yield Models(write_toys(tmp_path_factory.mktemp("toys"), "reference"), "reference")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device(models):
    many = (
        models.files("add"),
        models.files("add_fours"),
        models.files("add_whole", batch=False),
        models.files("add_bias", without=(1,)),
        models.files("echo_scalar", batch=False),
        models.files("add_open"),
        models.files("echo"),
        models.files("echo_all"),
        models.files("add", "sub", key="pair"),
    )
    async with in_its_own_task(held(*many)) as device:
        yield device


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loading(models):
    async with in_its_own_task(loader()) as loading:
        yield loading


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


async def assert_it_still_answers(device):
    ones = np.ones((3, 2), np.float32)
    assert (await device.run("add", ones, ones))[0].tolist() == [[2, 2]] * 3


@pytest.mark.parametrize(
    ("key", "inputs", "outputs", "batch_size"),
    [
        ("add", ["float32[?, 2]"] * 2, ["float32[?, 2]"], 8),
        ("add_fours", ["float32[4, 3]"] * 2, ["float32[4, 3]"], 4),
        ("add_whole", ["float32[2, 2]"] * 2, ["float32[2, 2]"], 1),
        ("add_bias", ["float32[4, 3]", "float32[3]"], ["float32[4, 3]"], 4),
        ("echo_scalar", ["float32[2, 2]", "float32[]"], ["float32[2, 2]", "float32[]"], 1),
        ("echo", ["float32[?, 2]"] * 2, ["float32[?, 2]"] * 2, 8),
    ],
)
async def test_what_a_model_takes_and_gives_is_learned_from_its_file(
    device, key, inputs, outputs, batch_size
):
    signature = device.signature(key)
    (subgraph,) = signature.subgraphs
    assert [str(spec) for spec in subgraph.inputs] == inputs
    assert [spec.name for spec in subgraph.inputs] == ["x1", "x2"]
    assert [str(spec) for spec in subgraph.outputs] == outputs
    assert signature.batch_size == batch_size


@pytest.mark.parametrize(("key", "width"), [("add", 2), ("add_fours", 3)])
async def test_any_number_of_rows_is_answered_with_as_many(device, key, width):
    """Whether batches are padded to 4 rows, cut at 4, or cut at 8."""
    for count in range(1, 18):
        x, y = numbers(count, width), numbers(count, width, seed=1)
        (output,) = await device.run(key, x, y)
        assert np.array_equal(output, x + y)


async def test_a_model_without_batch_dim_takes_and_gives_whole_arrays(device):
    x, y = numbers(2, 2), numbers(2, 2, seed=1)
    (output,) = await device.run("add_whole", x, y, rows=1)
    assert np.array_equal(output, x + y)


async def test_a_scalar_input_stays_a_scalar(device):
    x, y = numbers(2, 2), np.array(0.5, np.float32)
    outputs = await device.run("echo_scalar", x, y, rows=1)
    assert [output.shape for output in outputs] == [(2, 2), ()]
    assert outputs[1] == y


@pytest.mark.parametrize("count", [1, 4, 11])
async def test_an_input_without_batch_dim_goes_into_every_call(device, count):
    x, bias = numbers(count, 3), numbers(3, seed=1)
    (output,) = await device.run("add_bias", x, bias, rows=count)
    assert np.array_equal(output, x + bias)


async def test_several_files_are_the_subgraphs_of_one_model(device):
    assert len(device.signature("pair").subgraphs) == 2
    x, y = numbers(3, 2), numbers(3, 2, seed=1)
    assert np.array_equal((await device.run("pair", x, y, subgraph=0))[0], x + y)
    assert np.array_equal((await device.run("pair", x, y, subgraph=1))[0], x - y)


async def test_several_outputs_come_in_the_models_order(device):
    x, y = numbers(11, 2), numbers(11, 2, seed=1)
    outputs = await device.run("echo", x, y)
    assert [np.array_equal(out, put) for out, put in zip(outputs, [x, y], strict=True)] == [
        True
    ] * 2


async def test_every_element_type_goes_through_unharmed(device):
    inputs = [
        np.frombuffer(np.random.default_rng(kind).bytes(3 * 2 * 8), kind.dtype)[:6].reshape(3, 2)
        if kind != ElementType.BOOL
        else np.array([[True, False], [False, False], [True, True]])
        for kind in KINDS
    ]
    outputs = await device.run("echo_all", *inputs)
    assert [out.dtype for out in outputs] == [kind.dtype for kind in KINDS]
    assert [out.tobytes() for out in outputs] == [put.tobytes() for put in inputs]


TWO = np.ones((1, 2), np.float32)
THREE = np.ones((1, 3), np.float32)


@pytest.mark.parametrize(
    ("key", "inputs", "rows", "complaint"),
    [
        ("add", [TWO], 1, "model 'add' expected 2 inputs, got 1"),
        ("add", [TWO] * 3, 1, "model 'add' expected 2 inputs, got 3"),
        ("add", [TWO, TWO.astype(np.int32)], 1, r"'x2' expected float32\[2\], got int32\[2\]"),
        ("add", [THREE, TWO], 1, r"'x1' expected float32\[2\], got float32\[3\]"),
        ("add", [TWO, TWO[:, None]], 1, r"'x2' expected float32\[2\], got float32\[1, 2\]"),
        ("add", [TWO, TWO], 2, r"'x1' expected 2 rows, got \[1, 2\]"),
        ("add", [TWO, TWO[:0]], 1, r"'x2' expected 1 rows, got \[0, 2\]"),
        ("add", [TWO[:0], TWO[:0]], 0, "expected at least 1 row, got 0"),
        ("add_whole", [TWO, TWO], 1, r"'x1' expected float32\[2, 2\], got float32\[1, 2\]"),
        ("add_bias", [THREE, THREE], 1, r"'x2' expected float32\[3\], got float32\[1, 3\]"),
        ("unheard", [TWO], 1, "no model 'unheard' here"),
    ],
)
async def test_wrong_inputs_are_answered_with_what_was_expected_and_what_came(
    device, key, inputs, rows, complaint
):
    with pytest.raises(InvalidRequest, match=complaint):
        await device.run(key, *inputs, rows=rows)
    await assert_it_still_answers(device)


async def test_a_subgraph_that_does_not_exist_is_named(device):
    with pytest.raises(InvalidRequest, match="model 'pair' has 2 subgraphs, no subgraph 2"):
        await device.run("pair", TWO, TWO, subgraph=2)
    await assert_it_still_answers(device)


async def test_a_batch_that_fails_in_the_model_spoils_nothing(device):
    x, y = numbers(2, 3), numbers(2, 4)
    with pytest.raises(ExecutionFailed, match=r"add_open.*2 rows") as failed:
        await device.run("add_open", x, y)
    assert "\n" not in failed.value.message
    assert "/" not in failed.value.message
    (output,) = await device.run("add_open", x, x)
    assert np.array_equal(output, x + x)
    await assert_it_still_answers(device)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "No such file"), (b"", ""), (b"\x00\xff" * 300, ""), (b"{}", ""), (b"[1, 2]", "")],
)
async def test_an_unusable_file_is_named_without_its_folder(loading, models, content, complaint):
    path = models.folder / f"unusable.{models.ending}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(
        LoadFailed, match=rf"model file 'unusable.{models.ending}'.*{complaint}"
    ) as e:
        await loading.load(models.files("unusable"))
    assert str(models.folder) not in e.value.message
    path.unlink(missing_ok=True)
    await loading.load(models.files("add"))


async def test_a_format_that_no_backend_reads_is_named(loading, models):
    files = models.files("add")
    unread = ModelFiles(files.key, "om", files.paths, True, (), 8)
    with pytest.raises(LoadFailed, match="no backend here reads model format 'om'"):
        await loading.load(unread)


async def test_batch_sizes_that_do_not_agree_are_named(loading, models):
    with pytest.raises(
        LoadFailed, match=r"input 'x2' of 'add_mixed.*' has batch size 4, input 'x1' .* has any"
    ):
        await loading.load(models.files("add_mixed"))
    with pytest.raises(
        LoadFailed, match=r"'x1' of 'add.*' has batch size any, input 'x1' of 'add_fours.*' has 4"
    ):
        await loading.load(models.files("add_fours", "add"))


async def test_an_input_that_does_not_exist_cannot_be_without_batch_dim(loading, models):
    with pytest.raises(LoadFailed, match="has 2 inputs, without_batch_dim_inputs names input 2"):
        await loading.load(models.files("add_bias", without=(1, 2)))
