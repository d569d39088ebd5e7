"""What MindSpore itself was told of a model's options."""

import subprocess
import sys

import pytest

from shared.membership import ModelFiles
from shared.servable import DeviceOptions, ModelOptions
from tests.support.devices import held, loader

pytestmark = pytest.mark.mindspore

SCRIPT = """
import mindspore
from mindspore._c_expression import RuntimeConf
from services.agent.backends.mindspore_options import Configured
from shared.membership import Device
from shared.servable import DeviceOptions, ModelOptions

mindspore.set_device("CPU")
configured = Configured(mindspore, Device("CPU", 0))
fp16 = (DeviceOptions("ascend", (("precision_mode", "force_fp16"),)),)
for threads in (None, 3, 5):
    options = ModelOptions(thread_num=threads, devices=fp16)
    configured.act_on(options)
    conf = RuntimeConf.get_instance()
    print(conf.is_op_threads_num_configured(), sorted(configured.acting(options)))
print(conf.op_threads_num() if hasattr(conf, "op_threads_num") else "")
"""
ASCEND = """
import mindspore
from services.agent.backends.mindspore_options import Configured
from shared.membership import Device
from shared.servable import DeviceOptions, ModelOptions

configured = Configured(mindspore, Device("Ascend", 0))
for mode in ("force_fp16", "allow_mix_precision"):
    options = ModelOptions(devices=(DeviceOptions("ascend", (("precision_mode", mode),)),))
    configured.act_on(options)
    print(sorted(configured.acting(options)))
"""


def said_by(script):
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_mindspore_hears_once_of_threads_and_the_first_model_decides():
    said = said_by(SCRIPT)
    assert said[:3] == ["False []", "True ['thread_num']", "True []"]
    assert said[3] in {"3", ""}


def test_an_ascend_hears_of_the_first_precision():
    """There is none here: MindSpore takes the mode, and says that it has no such device."""
    assert said_by(ASCEND) == ["['ascend precision_mode']", "[]"]


async def test_what_mindspore_does_not_act_on_is_named(mindir):
    options = ModelOptions(
        thread_num=2,
        enable_parallel=True,
        devices=(DeviceOptions("cpu", (("precision_mode", "fp16"),)),),
        config_file="/lite.cfg",
    )
    files = ModelFiles("add", "mindir", (str(mindir / "add.mindir"),), True, (), 8, options)
    async with loader() as loading:
        assert await loading.load(files) == ["enable_parallel", "config_file", "cpu precision_mode"]
    async with held(files) as device:
        assert device.holding.state == "ready"
