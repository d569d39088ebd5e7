"""What keeps servables of scripts from starting beside what they are: limits and devices."""

import pytest

from tests.support.scripts import run_script, write_servable

TRY = """
    import resource
    import sys
    from mindspore_serving import server

    files, name, options = int(sys.argv[1]), sys.argv[2], eval(sys.argv[3])
    if files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    try:
        server.start_servables(server.ServableStartConfig("my servables", name, **options))
    except RuntimeError as failure:
        print(failure)
"""
TOO_MANY = (
    "Too many open files. Maybe the parameter 'num_parallel_workers' is too large, and the number"
    " of open files exceeds the system upper limit. Please check the workers logs in the"
    " serving_logs directory for more details"
)


def told(folder, name, options, *, files=0):
    """What a start says: one line, and nothing of it is left, for its script ends."""
    ended = run_script(folder, TRY, files, name, options)
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stdout.splitlines()
    return line


@pytest.mark.parametrize(
    ("files", "workers", "where"),
    [
        # The script itself has no room for 64 agents, its worker none for 8 stage processes.
        (24, 64, "Load model failed, servable directory: "),
        (40, 8, "servable 'add' version 1: no stage process to be had: "),
    ],
)
def test_too_many_workers_for_the_systems_limits_are_told_at_once(folder, files, workers, where):
    line = told(folder, "add", {"num_parallel_workers": workers}, files=files)
    assert line.startswith(f"Fail to start workers: {where}")
    assert TOO_MANY in line


ELSEWHERE = """
from mindspore_serving.server import register

with open("/proc/self/cmdline") as mine:
    if "services.worker.stages" in mine.read():
        raise ValueError("not in a stage process")


@register.register_method(["y"])
def same(x):
    return register.add_stage(lambda x: x, x, outputs_count=1)
"""


def test_a_servable_that_stage_processes_cannot_import_is_told_at_once(folder):
    write_servable(folder / "my servables", ELSEWHERE, name="elsewhere", functions=())
    line = told(folder, "elsewhere", {"num_parallel_workers": 2})
    assert line.startswith(
        "Fail to start workers: import elsewhere.servable_config failed, ValueError: not in a stage"
    )


DECLARED = """
from mindspore_serving.server import register

model = register.declare_model("add.FORMAT", "FORMAT")


@register.register_method(["y"])
def add(x1, x2):
    return register.add_stage(model, x1, x2, outputs_count=1)
"""


@pytest.mark.parametrize(
    "model_format", ["onnx", pytest.param("mindir", marks=pytest.mark.mindspore)]
)
@pytest.mark.parametrize("device_type", ["Ascend", "GPU"])
def test_a_device_that_is_not_there_is_told_in_the_originals_words(
    folder, model_format, device_type
):
    config = DECLARED.replace("FORMAT", model_format)
    write_servable(folder / "my servables", config, name="adding", functions=())
    file = folder / "my servables" / "adding" / "1" / f"add.{model_format}"
    file.write_bytes(b"not looked at")
    line = told(folder, "adding", {"device_ids": 0, "device_type": device_type})
    assert line.startswith("Fail to start workers: Load model failed, servable directory: ")
    assert "servable name: 'adding'" in line
    assert (
        f"The device type '{device_type.lower()}' is inconsistent with current running environment,"
        " supported device type: None or 'cpu'"
    ) in line
