"""Which options a device ignores, and which it must not."""

import os
import subprocess
import sys

import pytest

from services.agent.backends.options import ignored, refuse_what_changes_answers
from services.agent.device.affinity import stay_on
from shared.errors import LoadFailed
from shared.membership import Device, ModelFiles
from shared.servable import DeviceOptions, ModelOptions

CPU, ASCEND = Device("CPU", 0), Device("Ascend", 0)


def files(**options):
    devices = tuple(
        DeviceOptions(kind, tuple(values.items()))
        for kind, values in options.pop("devices", {}).items()
    )
    return ModelFiles(
        "net", "mindir", ("/net",), True, (), 8, ModelOptions(devices=devices, **options)
    )


def test_only_what_concerns_the_device_and_is_not_acted_on_counts_as_ignored():
    told = files(
        thread_num=2,
        enable_parallel=False,
        thread_affinity_core_list=(0,),
        devices={"cpu": {"precision_mode": "fp16"}, "ascend": {"input_shape": "x: 1,2"}},
    )
    assert ignored(told, CPU, ["thread_num"]) == ("enable_parallel", "cpu precision_mode")
    assert ignored(told, ASCEND, []) == ("thread_num", "enable_parallel", "ascend input_shape")
    assert ignored(files(), CPU, []) == ()


@pytest.mark.parametrize("name", ["insert_op_cfg_path", "input_format", "output_type"])
def test_an_option_that_would_change_answers_is_refused_where_it_counts(name):
    told = files(devices={"ascend": {name: "FP16"}})
    refuse_what_changes_answers(told, CPU)
    with pytest.raises(LoadFailed, match=f"model 'net': Ascend option '{name}' cannot be acted on"):
        refuse_what_changes_answers(told, ASCEND)


def test_a_core_that_is_not_there_is_named_with_those_that_are():
    before = os.sched_getaffinity(0)
    with pytest.raises(LoadFailed, match=r"thread_affinity_core_list: there is no core 4000, 4001"):
        stay_on([4001, min(before), 4000])
    assert os.sched_getaffinity(0) == before


def test_every_thread_stays_on_the_cores_that_were_named():
    core = min(os.sched_getaffinity(0))
    script = f"""
import os, threading
from services.agent.device.affinity import stay_on
gate = threading.Event()
def at_work(): gate.wait()
early = threading.Thread(target=at_work); early.start()
stay_on({{{core}}})
late = threading.Thread(target=at_work); late.start()
print([sorted(os.sched_getaffinity(t.native_id)) for t in (threading.main_thread(), early, late)])
gate.set()
"""
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == str([[core]] * 3)
