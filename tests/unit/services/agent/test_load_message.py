"""What a device process is told survives the way to it."""

from services.agent.device.load_message import LoadMessage
from shared.membership import Device, GangPart, ModelFiles
from shared.servable import DeviceOptions, LanguageGraphs, ModelOptions


def test_a_load_message_is_read_as_it_was_written():
    options = ModelOptions(
        thread_num=2,
        thread_affinity_core_list=(0, 1),
        enable_parallel=True,
        devices=(
            DeviceOptions("ascend", (("precision_mode", "force_fp16"),)),
            DeviceOptions("gpu"),
        ),
        config_file="/lite.cfg",
    )
    models = (
        ModelFiles("a;b", "mindir", ("/a", "/b"), True, (1, 2), 8, options),
        ModelFiles("c", "onnx", ("/c",), False, (), 8),
        ModelFiles("d", "mindir", ("/d",), True, (), 0, language=LanguageGraphs(0, 1, blocks=7)),
    )
    part = GangPart(5, 3, 8, 1, 2, "10.0.0.1:20000", "{}")
    message = LoadMessage(Device("Ascend", 3), models, "AES-CBC", part)
    assert LoadMessage.read(message.written()) == message
    short = LoadMessage.read(LoadMessage(Device("CPU", 0), ()).written())
    assert (short.decryption_mode, short.part) == ("", None)
