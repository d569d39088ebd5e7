"""Server scripts: what is left of them, and what they are told."""

import shutil
import signal
import time

import pytest

from shared.ports import free_port
from tests.support.adding import CONFIG, TWOS, infer, started
from tests.support.scripts import alive_after, run_script, wait_until, write_servable

AGAIN = """
    import os
    import psutil
    import socket
    import subprocess
    import sys
    from mindspore_serving import server
    from mindspore_serving.client import Client
    import numpy as np

    before = set(os.listdir("."))
    for _ in range(2):
        server.start_grpc_server("127.0.0.1:PORT")
        server.start_servables(server.ServableStartConfig("my servables", "add", device_ids=(0, 1)))
        server.start_restful_server("127.0.0.1:PORT2")
        ones = np.ones((2, 2), np.float32)
        with Client("127.0.0.1:PORT", "add", "add_common") as client:
            print(client.infer({"x1": ones, "x2": ones})[0]["y"].tolist())
        # The original had the system reap children, so that their status was lost.
        print(subprocess.run([sys.executable, "-c", "raise SystemExit(3)"]).returncode)
        server.stop()
        server.stop()
        print(psutil.Process().children(recursive=True))
        for port in (PORT, PORT2):
            socket.create_server(("127.0.0.1", port)).close()
    print(sorted(set(os.listdir(".")) - before))
"""


def test_stop_leaves_nothing_and_the_same_ports_can_be_had_again(folder):
    ended = run_script(folder, AGAIN)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = [line for line in ended.stdout.splitlines() if not line.startswith("Serving: ")]
    once = [str([[2.0, 2.0], [2.0, 2.0]]), "3", "[]"]
    assert lines == [*once, *once, "['serving_logs']"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_script_that_dies_leaves_no_orphans(folder, number):
    with started(folder, f"127.0.0.1:{free_port()}", devices="(0, 1)") as script:
        script.until("started")
        below = script.children()
        assert len(below) == 6  # master, worker, two agents and their device processes
        script.process.send_signal(number)
        assert script.process.wait(60) == -number
        assert not alive_after(below)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_many_times_ends_a_script_once_and_for_all(folder, number):
    with started(folder, f"127.0.0.1:{free_port()}") as script:
        script.until("started")
        below = script.children()
        for _ in range(1000):
            script.process.send_signal(number)
        assert script.process.wait(60) == -number
        assert not alive_after(below)


def test_a_signal_while_servables_start_ends_them(folder):
    config = CONFIG + "\n    time.sleep(60)\n"
    shutil.rmtree(folder / "my servables")
    write_servable(folder / "my servables", config)
    with started(folder, f"127.0.0.1:{free_port()}") as script:
        wait_until(lambda: len(script.children()) >= 2, seconds=30, what="services to be started")
        below = script.children()
        script.process.send_signal(signal.SIGINT)
        # Nobody waits for a drain of what has never worked: the import would take a minute.
        assert script.process.wait(30) == -signal.SIGINT
        assert not alive_after(below)


def test_a_front_door_alone_keeps_no_script_alive(tmp_path):
    ended = run_script(
        tmp_path, 'from mindspore_serving import server\nserver.start_grpc_server("127.0.0.1:PORT")'
    )
    assert ended.returncode == 0
    assert "start success" in ended.stdout


def test_services_that_are_killed_are_started_again(folder):
    address = f"127.0.0.1:{free_port()}"
    with started(folder, address) as script:
        script.until("started")
        for service in ("services.worker", "services.agent", "services.master"):
            (victim,) = [each for each in script.children() if service in each.cmdline()]
            victim.kill()
            assert service.removeprefix("services.") in script.until(
                "ended (SIGKILL) and was started again"
            ).replace("device0", "agent")
            wait_until(lambda: infer(address) == TWOS, seconds=60, what=script.logs)


CASES = """
    import psutil
    from mindspore_serving import server

    def attempt(**options):
        try:
            server.start_servables(server.ServableStartConfig("my servables", **options))
        except RuntimeError as failure:
            print(str(failure).replace("\\n", " "))
        assert psutil.Process().children() == []

    attempt(servable_name="missing")
    attempt(servable_name="empty")
    attempt(servable_name="add", version_number=7)
    attempt(servable_name="no_version")
    attempt(servable_name="no_file")
    attempt(servable_name="no_method")
    attempt(servable_name="broken")
    attempt(servable_name="three_inputs")
    attempt(servable_name="two_outputs")
    attempt(servable_name="add", dec_key=b"k" * 16)
"""


DECLARED = """
from mindspore_serving.server import register

model = register.declare_model("add.json", "Reference")
"""
METHOD = """
@register.register_method(["y"])
def add(x1, x2):
    return register.add_stage(model, x1, x2, outputs_count=1)
"""


def test_what_keeps_servables_from_starting_is_told_at_once(folder):
    servables = folder / "my servables"
    (servables / "empty").mkdir()
    for name, config in (
        ("no_version", DECLARED + METHOD),
        ("no_file", DECLARED.replace("add.json", "none.json") + METHOD),
        ("no_method", DECLARED),
        ("broken", "import no_such_module"),
        ("three_inputs", DECLARED + METHOD.replace("x1, x2", "x1, x2, x3")),
        ("two_outputs", DECLARED + METHOD.replace("=1", "=2").replace('"y"', '"y", "z"')),
    ):
        write_servable(servables, config, name=name, dims=(-1, 2))
    shutil.rmtree(servables / "no_version" / "1")
    began = time.monotonic()
    ended = run_script(folder, CASES)
    assert ended.returncode == 0, ended.stderr
    expected = [
        (f"Check servable config failed, directory '{servables / 'missing'}' not exist, ",),
        (
            "Check servable config failed, file '",
            "servable_config.py' not exist,  servable directory '",
        ),
        (
            "Fail to start workers: Start servable failed: There is no specified version directory",
            "of models, specified version number: 7, ",
        ),
        (
            "Fail to start workers: There is no valid version directory of models while there are"
            " models declared in servable_config.py, ",
        ),
        (
            f"Fail to start workers: Load model failed, servable directory: '{servables}', servable"
            " name: 'no_file', version number 1, load error details: ",
            "none.json",
        ),
        ("Fail to start workers: There is no method registered for servable 'no_method'",),
        ("Fail to start workers: import broken.servable_config failed, ModuleNotFoundError",),
        ("Fail to start workers: The inputs count 3 in register_method not equal to the count 2",),
        ("Fail to start workers: The outputs count 2 in register_method not equal to the count 1",),
        ("Fail to start workers: Load model failed, servable directory: '", "a dec_key was given"),
    ]
    for line, words in zip(ended.stdout.splitlines(), expected, strict=True):
        assert line.startswith(words[0])
        assert all(each in line for each in words)
    assert time.monotonic() - began < 60


def test_paths_are_taken_from_the_scripts_folder_and_logs_go_to_the_working_one(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    ended = run_script(
        folder,
        """
        from mindspore_serving import server

        configs = [
            server.ServableStartConfig("my servables", "add", device_ids=ids) for ids in (2, (3, 2))
        ]
        server.start_servables(configs)
        server.stop()
        """,
        cwd=elsewhere,
        environment={"GLOG_v": "1"},
    )
    assert ended.returncode == 0, ended.stderr
    logs = elsewhere / "serving_logs"
    assert sorted(each.name for each in logs.iterdir()) == [
        "log_add_device2_version1.log",
        "log_add_device3_version1.log",
        "log_add_worker_version1.log",
    ]
    # Of several devices SERVING_DEVICE_ID is the first: Python stages belong to none.
    assert "] device 2\n" in (logs / "log_add_worker_version1.log").read_text()


@pytest.mark.parametrize(("level", "said"), [("0", True), ("1", True), ("2", False), ("3", False)])
def test_glog_v_holds_for_the_services_logs_too(folder, level, said):
    ended = run_script(
        folder,
        'from mindspore_serving import server\nserver.start_grpc_server("127.0.0.1:PORT")',
        environment={"GLOG_v": level},
    )
    assert ended.returncode == 0, ended.stderr
    log = (folder / "serving_logs" / "log_master.log").read_text()
    assert ("listening" in log) is said


def test_a_second_start_before_stop_is_refused_and_ends_everything(folder):
    ended = run_script(
        folder,
        """
        import psutil
        from mindspore_serving import server

        config = server.ServableStartConfig("my servables", "add", device_ids=0)
        server.start_servables(config)
        try:
            server.start_servables(config)
        except RuntimeError as failure:
            print(failure)
        print(psutil.Process().children())
        """,
    )
    assert ended.stdout.splitlines() == ["Serving Error: servables are already running", "[]"]
