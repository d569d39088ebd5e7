"""Models that MindSpore has encrypted: the right key opens them, and nothing else."""

import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio

from shared.decryption import DecryptionKey
from shared.errors import LoadFailed, ServingError
from shared.membership import ModelFiles
from tests.device.keys import KEYS, SEALED, WRONG
from tests.support.cluster import until
from tests.support.devices import held, in_its_own_task, loader

pytestmark = [pytest.mark.mindspore, pytest.mark.asyncio(loop_scope="module")]

MODES = list(KEYS)
OTHER = {"AES-GCM": "AES-CBC", "AES-CBC": "AES-GCM"}
ONES = np.ones((3, 2), np.float32)


def sealed(folder, mode):
    path = folder / f"{SEALED[mode]}.mindir"
    return ModelFiles(path.name, "mindir", (str(path),), True, (), 8)


def key_of(mode):
    return DecryptionKey(KEYS[mode], mode)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loading():
    async with in_its_own_task(loader()) as loading:
        yield loading


def device_processes():
    """Those that are there; processes that end are none."""
    return {
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "services.agent.device" in child.cmdline()
    }


async def refused(loading, files, key):
    """What is said of files that cannot be loaded; never the key, nor a folder."""
    with pytest.raises(LoadFailed) as failed:
        await loading.load(files, key=key)
    for secret in (*KEYS.values(), WRONG):
        assert secret.decode() not in failed.value.message
    assert str(Path(files.paths[0]).parent) not in failed.value.message
    return failed.value.message


@pytest.mark.parametrize("mode", MODES)
async def test_the_right_key_opens_a_model_that_answers_like_the_open_one(mindir, mode):
    async with held(sealed(mindir, mode), key=key_of(mode)) as device:
        name = f"{SEALED[mode]}.mindir"
        assert [str(spec) for spec in device.signature(name).subgraphs[0].inputs] == [
            "float32[?, 2]"
        ] * 2
        assert (await device.run(name, ONES, ONES))[0].tolist() == [[2, 2]] * 3


async def test_a_device_process_that_is_started_again_opens_its_models_again(mindir):
    files = sealed(mindir, "AES-GCM")
    before = device_processes()
    async with held(files, key=key_of("AES-GCM")) as device:
        (process,) = device_processes() - before
        os.kill(process.pid, signal.SIGKILL)
        await until(lambda: not psutil.pid_exists(process.pid), what="the kill")

        async def answered():
            try:
                return await device.run(files.key, ONES, ONES)
            except ServingError:
                return None

        await until(answered, what="an answer")


@pytest.mark.parametrize("mode", MODES)
async def test_a_wrong_key_or_mode_is_said_to_be_wrong(loading, mindir, mode):
    files = sealed(mindir, mode)
    for key in (
        DecryptionKey(WRONG, mode),
        DecryptionKey(KEYS[mode][:-1] + b"X", mode),
        DecryptionKey(KEYS[mode], OTHER[mode]),
    ):
        assert await refused(loading, files, key) == (
            f"model file '{files.key}' cannot be decrypted: dec_key or dec_mode ({key.mode}) is not"
            " the one it was exported with, or the file is damaged"
        )
    await loading.load(files, key=key_of(mode))


async def test_a_damaged_file_is_said_to_be_damaged(loading, mindir, tmp_path):
    for mode in MODES:
        name = f"{SEALED[mode]}.mindir"
        whole = (mindir / name).read_bytes()
        changed = whole[:200] + b"tiger" + whole[205:]
        # AES-CBC cannot tell that something was changed in the middle.
        for content in (whole[:-20], *([changed] if mode == "AES-GCM" else [])):
            (tmp_path / name).write_bytes(content)
            said = await refused(loading, sealed(tmp_path, mode), key_of(mode))
            assert said.endswith("or the file is damaged")


@pytest.mark.parametrize("mode", MODES)
async def test_without_a_key_an_encrypted_file_is_said_to_be_one(loading, mindir, mode):
    files = sealed(mindir, mode)
    assert await refused(loading, files, None) == (
        f"model file '{files.key}' is encrypted, and no dec_key was given for its servable"
    )


async def test_a_key_for_a_file_that_is_not_encrypted_is_refused(loading, mindir):
    files = ModelFiles("add", "mindir", (str(mindir / "add.mindir"),), True, (), 8)
    assert await refused(loading, files, key_of("AES-GCM")) == (
        "model file 'add.mindir' is not encrypted, but a dec_key was given for its servable"
    )
    both = ModelFiles(
        "both", "mindir", (sealed(mindir, "AES-GCM").paths[0], files.paths[0]), True, (), 8
    )
    assert "'add.mindir' is not encrypted" in await refused(loading, both, key_of("AES-GCM"))


async def test_a_missing_file_is_missing_with_a_key_too(loading, tmp_path):
    files = sealed(tmp_path, "AES-CBC")
    said = await refused(loading, files, key_of("AES-CBC"))
    assert said == f"model file '{files.key}': No such file or directory"


@pytest.mark.parametrize("model_format", ["onnx", "reference"])
async def test_formats_that_know_no_encryption_refuse_a_key(loading, tmp_path, model_format):
    path = tmp_path / f"net.{model_format}"
    path.touch()
    files = ModelFiles("net", model_format, (str(path),), True, (), 8)
    assert await refused(loading, files, key_of("AES-GCM")) == (
        f"model file 'net.{model_format}': a dec_key was given, but files of format"
        f" '{model_format}' cannot be encrypted"
    )
