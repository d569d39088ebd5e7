"""Encrypted models in scripts and in services; the key shows nowhere."""

import asyncio
import base64
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from shared.ports import free_port
from tests.device.keys import KEYS, SEALED, WRONG
from tests.support.cluster import Cluster, outputs, until

pytestmark = pytest.mark.mindspore

SECONDS = 90
CONFIG = """
    from mindspore_serving.server import register

    model = register.declare_model(model_file="net.mindir", model_format="MindIR")


    @register.register_method(output_names=["y"])
    def predict(x1):
        return register.add_stage(model, x1, x1, outputs_count=1)
"""
SCRIPT = """
    import sys
    import numpy as np
    from mindspore_serving import server
    from mindspore_serving.client import Client

    key = open("key_of_the_user", "rb").read()
    config = server.ServableStartConfig(".", "secret", (0, 1), dec_key=key, dec_mode="MODE")
    server.start_servables(config)
    server.start_grpc_server("127.0.0.1:PORT")
    client = Client("127.0.0.1:PORT", "secret", "predict")
    print(client.infer({"x1": np.ones((2,), np.float32)})[0]["y"].tolist(), flush=True)
    sys.stdin.read()
    server.stop()
"""


def add_secret(directory, mindir, mode):
    folder = directory / "secret"
    (folder / "1").mkdir(parents=True)
    (folder / "servable_config.py").write_text(textwrap.dedent(CONFIG))
    shutil.copy(mindir / f"{SEALED[mode]}.mindir", folder / "1" / "net.mindir")


def forms_of(key):
    """How a key could stand in a text."""
    return {key, key.hex().encode(), key.hex().upper().encode(), base64.b64encode(key)}


def family(pid):
    """A process and everything below it."""
    return [pid, *(each.pid for each in psutil.Process(pid).children(recursive=True))]


def shown_by_processes(pids):
    """What anybody may read of processes: their command lines, and (its user) environments."""
    return b"".join(
        Path(f"/proc/{pid}/{what}").read_bytes() for pid in pids for what in ("cmdline", "environ")
    )


def assert_hidden(key, *texts):
    for text in texts:
        assert text
        assert not [form for form in forms_of(key) if form in text]


def started(folder, mode, key):
    """A user's script, talkative in every way there is."""
    (folder / "key_of_the_user").write_bytes(key)
    script = textwrap.dedent(SCRIPT).replace("PORT", str(free_port())).replace("MODE", mode)
    (folder / "script.py").write_text(script)
    loud = {f"MINDSERVE_{each}_LOG_LEVEL": "debug" for each in ("MASTER", "WORKER", "AGENT")}
    return subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        env=os.environ | loud | {"GLOG_v": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("mode", list(KEYS))
def test_a_script_serves_an_encrypted_model_and_its_key_shows_nowhere(tmp_path, mindir, mode):
    add_secret(tmp_path, mindir, mode)
    script = started(tmp_path, mode, KEYS[mode])
    try:
        # The first line says that the server listens.
        said = [script.stdout.readline(), script.stdout.readline()]
        assert said[1] == b"[2.0, 2.0]\n"
        pids = family(script.pid)
        commands = [" ".join(psutil.Process(pid).cmdline()) for pid in pids]
        for service, count in (("worker", 1), ("agent ", 2), ("agent.device", 2), ("master", 1)):
            assert sum(f"services.{service}" in each for each in commands) == count
        assert sum("--dec-keys secret=/dev/fd/" in each for each in commands) == 2
        shown = shown_by_processes(pids)
        rest, complained = script.communicate(timeout=SECONDS)
    finally:
        script.kill()
        script.communicate()
    logs = b"".join(path.read_bytes() for path in (tmp_path / "serving_logs").iterdir())
    # The settings are dumped, and MindSpore says what it does.
    assert b"dec_keys=***" in logs
    assert b"[INFO]" in logs
    assert_hidden(KEYS[mode], shown, logs + b"".join(said) + rest + complained)


def test_a_script_with_a_wrong_key_is_told_so_and_nothing_is_left(tmp_path, mindir):
    add_secret(tmp_path, mindir, "AES-GCM")
    script = started(tmp_path, "AES-GCM", WRONG)
    said, complained = script.communicate(timeout=SECONDS)
    assert script.returncode == 1
    assert (
        b"servable name: 'secret', version number 1, load error details: servable 'secret' version"
        b" 1: model file 'net.mindir' cannot be decrypted: dec_key or dec_mode (AES-GCM) is not the"
        b" one it was exported with, or the file is damaged" in complained
    )
    logs = b"".join(path.read_bytes() for path in (tmp_path / "serving_logs").iterdir())
    assert_hidden(WRONG, logs + said + complained)


async def test_agents_find_keys_in_files_and_on_standard_input(tmp_path, mindir):
    async with Cluster(tmp_path) as cluster:
        add_secret(cluster.servables, mindir, "AES-CBC")
        (tmp_path / "keys").mkdir()
        (tmp_path / "keys" / "secret").write_bytes(KEYS["AES-CBC"] + b"\n")
        cluster.start_master()
        worker = cluster.start_worker()
        # Without a key: it says what is missing, and stays there.
        cluster.start_agent("keyless", worker)
        log = tmp_path / "keyless.log"
        missing = "'net.mindir' is encrypted, and no dec_key was given"
        await until(lambda: missing in log.read_text(), what=cluster.logs)
        assert "servable 'secret' version 1" in log.read_text()
        assert not await cluster.serving("secret")
        cluster.start_agent(
            "from_file", worker, "--dec-keys", f"secret={tmp_path}/keys/secret:AES-CBC"
        )
        await cluster.ready("secret")
        assert outputs(await cluster.predict([1, 2], servable="secret")) == [[2, 4]]
        await asyncio.to_thread(cluster.end, "from_file")
        with (tmp_path / "keys" / "secret").open("rb") as key:
            cluster.start_agent(
                "from_stdin", worker, "--dec-keys", "secret=/dev/stdin:AES-CBC", stdin=key
            )
        await cluster.ready("secret")
        assert outputs(await cluster.predict([1, 2], servable="secret")) == [[2, 4]]
        pids = [
            pid
            for service in cluster.processes.values()
            if service.poll() is None
            for pid in family(service.pid)
        ]
        logs = b"".join(path.read_bytes() for path in tmp_path.glob("*.log"))
        assert_hidden(KEYS["AES-CBC"], shown_by_processes(pids), logs)


async def test_an_agent_whose_key_file_is_of_no_use_ends_at_once(tmp_path):
    async with Cluster(tmp_path) as cluster:
        (tmp_path / "key").write_bytes(KEYS["AES-GCM"][:-1])
        cluster.start_agent("agent", "127.0.0.1:1", "--dec-keys", f"secret={tmp_path}/key")
        assert await asyncio.to_thread(cluster.processes["agent"].wait, SECONDS) == 1
        log = (tmp_path / "agent.log").read_bytes()
        assert b"servable 'secret': key file" in log
        assert b"holds a key of 15 bytes, expected 16, 24 or 32" in log
        assert_hidden(KEYS["AES-GCM"][:-1], log)
