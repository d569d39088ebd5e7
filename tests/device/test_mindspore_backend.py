"""MindSpore itself in device processes; what all backends share is in tests/contract."""

import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio

from shared.errors import ExecutionFailed, LoadFailed, ServingError
from shared.membership import ModelFiles
from tests.device.weights import weights
from tests.support.cluster import until
from tests.support.devices import held, in_its_own_task, loader

pytestmark = [pytest.mark.mindspore, pytest.mark.asyncio(loop_scope="module")]

MOST = 32


def files(folder, name, content=None):
    path = folder / f"{name}.mindir"
    if content is not None:
        path.write_bytes(content)
    return ModelFiles(name, "mindir", (str(path),), True, (), MOST)


@pytest.fixture(scope="module")
def compilations(tmp_path_factory):
    """A folder in which MindSpore leaves its intermediate graphs whenever it compiles."""
    return tmp_path_factory.mktemp("compilations")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device(mindir, compilations):
    names = ["wave", "mlp", "mlp_eights", "conv", "conv_open"]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MS_DEV_SAVE_GRAPHS", "1")
        environment.setenv("MS_DEV_SAVE_GRAPHS_PATH", str(compilations))
        environment.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
        async with in_its_own_task(held(*(files(mindir, name) for name in names))) as device:
            yield device


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loading():
    async with in_its_own_task(loader()) as loading:
        yield loading


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def device_process():
    """The one that serves; processes that end are none."""
    (found,) = [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "services.agent.device" in child.cmdline()
    ]
    return found


async def test_a_multi_layer_perceptron_answers_as_numpy_does(device):
    first, second = weights("mlp")
    x = numbers(5, 64)
    (output,) = await device.run("mlp", x)
    np.testing.assert_allclose(output, np.maximum(x @ first.T, 0) @ second.T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("key", "size"), [("conv", 8), ("conv_open", 8), ("conv_open", 5)])
async def test_a_convolution_answers_as_numpy_does(device, key, size):
    (kernel,) = weights("conv")
    image = numbers(2, 3, size, size)
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(2, 3))
    (output,) = await device.run(key, image)
    np.testing.assert_allclose(
        output, np.einsum("nchwij,kcij->nkhw", windows, kernel), rtol=1e-4, atol=1e-4
    )


async def test_an_elementwise_model_gives_the_same_bits_however_rows_are_batched(device):
    x = numbers(MOST, 5)
    (whole,) = await device.run("wave", x)
    for count in range(1, MOST + 1):
        (part,) = await device.run("wave", x[-count:])
        assert part.tobytes() == whole[-count:].tobytes()


async def test_a_matrix_product_stays_close_however_rows_are_batched(device):
    """Not the same bits: oneDNN sums in another order for other batch sizes."""
    x = numbers(MOST, 64)
    (whole,) = await device.run("mlp", x)
    for count in range(1, MOST + 1):
        (part,) = await device.run("mlp", x[-count:])
        np.testing.assert_allclose(part, whole[-count:], rtol=1e-5, atol=1e-4)


async def test_a_static_model_gives_the_same_bits_however_rows_are_padded(device):
    x = numbers(8, 5)
    (whole,) = await device.run("mlp_eights", x)
    for count in range(1, 8):
        (part,) = await device.run("mlp_eights", x[:count])
        assert part.tobytes() == whole[:count].tobytes()


async def test_no_batch_of_a_client_compiles(device, compilations):
    after_loading = sorted(compilations.iterdir())
    assert after_loading
    for count in range(1, MOST + 1):
        await device.run("wave", numbers(count, 5))
        await device.run("mlp", numbers(count, 64))
        await device.run("mlp_eights", numbers(count, 5))
        await device.run("conv", numbers(count, 3, 8, 8))
    assert sorted(compilations.iterdir()) == after_loading


async def test_the_instruction_set_of_the_setting_is_there_before_mindspore_is(device):
    environment = Path(f"/proc/{device_process().pid}/environ").read_bytes().split(b"\0")
    assert b"ONEDNN_MAX_CPU_ISA=AVX2" in environment


async def test_mindspores_reason_reaches_the_client_in_one_line(device):
    with pytest.raises(ExecutionFailed) as failed:
        await device.run("conv_open", numbers(1, 3, 2, 2))
    assert failed.value.message.startswith("model 'conv_open', 1 rows: ")
    assert "\n" not in failed.value.message
    assert "----" not in failed.value.message
    assert "/" not in failed.value.message


async def test_a_killed_device_process_comes_back_and_answers(device):
    x = numbers(3, 5)
    (before,) = await device.run("wave", x)
    killed = device_process().pid
    os.kill(killed, signal.SIGKILL)

    async def answered():
        try:
            return await device.run("wave", x)
        except ServingError:
            return None

    await until(lambda: not psutil.pid_exists(killed), what="the kill")
    await until(answered, what="an answer")
    (after,) = await device.run("wave", x)
    assert after.tobytes() == before.tobytes()
    assert device_process().pid != killed


async def test_an_element_type_that_cannot_travel_is_named(loading, mindir):
    with pytest.raises(LoadFailed, match=r"'bfloat16.mindir': 'x' is BFLOAT16, which cannot be"):
        await loading.load(files(mindir, "bfloat16"))


async def test_a_damaged_file_is_named_wherever_the_damage_is(loading, mindir, tmp_path):
    whole = (mindir / "mlp.mindir").read_bytes()
    damaged = {
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:100] + bytes([whole[100] ^ 0xFF]) + whole[101:],
    }
    for name, content in damaged.items():
        with pytest.raises(LoadFailed, match=rf"model file '{name}.mindir'") as failed:
            await loading.load(files(tmp_path, name, content))
        assert str(tmp_path) not in failed.value.message


async def test_a_file_that_mindspore_itself_refuses_is_named(loading, mindir):
    with pytest.raises(LoadFailed) as failed:
        await loading.load(files(mindir, "lost_weights"))
    assert failed.value.message == "model file 'lost_weights.mindir': Load MindIR failed."
