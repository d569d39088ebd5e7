"""Scripts as they were written for each generation of the original, run without an edit."""

import shutil

import pytest

from mindspore_serving import master, server, worker
from tests.support.scripts import logs_in, run_script, write_servable

# Versions 1.1 and 1.2: modules master and worker, ip and port, one model per servable.
CONFIG_1_1 = """
    import numpy as np
    from mindspore_serving.worker import register


    def cast(x1, x2):
        return x1.astype(np.float32), x2.astype(np.float32)


    def halve(instances):
        for instance in instances:
            yield instance[0] / 2


    register.declare_servable(
        servable_file="add.json", model_format="Reference", with_batch_dim=False)


    @register.register_method(output_names=["y"])
    def add_common(x1, x2):
        y = register.call_servable(x1, x2)
        return y


    @register.register_method(output_names=["y"])
    def add_cast(x1, x2):
        x1, x2 = register.call_preprocess(cast, x1, x2)
        y = register.call_servable(x1, x2)
        y = register.call_postprocess_pipeline(halve, y)
        return y
"""
SCRIPT_1_1 = """
    import os
    import sys
    import numpy as np
    from mindspore_serving import master, server, worker
    from mindspore_serving.client import Client

    servable_dir = os.path.abspath(".")
    worker.start_servable_in_master(servable_dir, "add", device_id=0)
    master.start_grpc_server("127.0.0.1", PORT)
    ones, halves = np.ones((2, 2), np.float32), np.ones((2, 2), np.int32)
    client = Client("localhost", PORT, "add", "add_common")
    print([y["y"].tolist() for y in client.infer([{"x1": ones, "x2": ones * n} for n in (1, 2)])])
    client = Client("localhost", PORT, "add", "add_cast")
    print([y["y"].tolist() for y in client.infer({"x1": halves, "x2": halves})])
    worker.stop()
    master.stop()
"""

# Versions 1.3 and 1.4: module server, addresses, subgraphs.
CONFIG_1_3 = """
    from mindspore_serving.server import register


    def one_more(x):
        return x + 1


    register.declare_servable(
        servable_file=["add.json", "sub.json"], model_format="Reference", with_batch_dim=False,
        options=register.GpuOptions(precision_mode="fp16"))


    @register.register_method(output_names=["y"])
    def add_common(x1, x2):
        y = register.call_servable(x1, x2, subgraph=0)
        return y


    @register.register_method(output_names=["y"])
    def add_cast(x1, x2):
        x1 = register.call_preprocess(one_more, x1)
        y = register.call_servable(x1, x2, subgraph=1)
        return y
"""
SCRIPT_1_3 = """
    import os
    import sys
    import numpy as np
    from mindspore_serving import server
    from mindspore_serving.client import Client

    config = server.ServableStartConfig(
        servable_directory=os.path.abspath("."), servable_name="add", device_ids=0)
    server.start_servables(config)
    server.start_grpc_server(address="127.0.0.1:PORT")
    ones = np.ones((2, 2), np.float32)
    client = Client("127.0.0.1:PORT", "add", "add_common")
    print([y["y"].tolist() for y in client.infer([{"x1": ones, "x2": ones * n} for n in (1, 2)])])
    client = Client("127.0.0.1:PORT", "add", "add_cast")
    print([y["y"].tolist() for y in client.infer({"x1": ones, "x2": ones})])
    server.stop()
"""

# Versions 1.6 to 2.0: several models, add_stage, contexts.
CONFIG_1_6 = """
    import os
    from mindspore_serving.server import register

    assert os.environ["SERVING_DEVICE_ID"].isdigit()

    context = register.Context(thread_num=1, thread_affinity_core_list=[0])
    context.append_device_info(register.CPUDeviceInfo(precision_mode="origin"))
    add = register.declare_model(
        model_file="add.json", model_format="Reference", with_batch_dim=False, context=context)
    sub = register.declare_model(
        model_file="sub.json", model_format="Reference", with_batch_dim=False,
        config_file="lite.cfg")


    def one_more(instances):
        return [(instance[0] + 1,) for instance in instances]


    @register.register_method(output_names=["y"])
    def add_common(x1, x2):
        return register.add_stage(add, x1, x2, outputs_count=1)


    @register.register_method(output_names=["y"])
    def add_cast(x1, x2):
        x1 = register.add_stage(one_more, x1, outputs_count=1, batch_size=2)
        return register.add_stage(sub, x1, x2, outputs_count=1, tag="Subtract")
"""
# Python stages in processes of their own: the function asks whose it is.
SCRIPT_2_0 = SCRIPT_1_3.replace("device_ids=0)", "device_ids=0, num_parallel_workers=2)")
CONFIG_2_0 = CONFIG_1_6.replace(
    "    return [(instance[0]",
    """    with open("/proc/self/cmdline") as mine:
            assert "services.worker.stages" in mine.read()
        return [(instance[0]""",
)


GENERATIONS = pytest.mark.parametrize(
    ("config", "script", "deprecated"),
    [
        pytest.param(
            CONFIG_1_1,
            SCRIPT_1_1,
            [
                "mindspore_serving.worker.start_servable_in_master",
                "mindspore_serving.master.start_grpc_server",
                "mindspore_serving.worker.stop",
                "mindspore_serving.master.stop",
            ],
            id="1.1",
        ),
        pytest.param(CONFIG_1_3, SCRIPT_1_3, [], id="1.3"),
        pytest.param(CONFIG_1_6, SCRIPT_1_3, [], id="1.6"),
        pytest.param(CONFIG_2_0, SCRIPT_2_0, [], id="2.0"),
    ],
)


@GENERATIONS
def test_the_scripts_of_each_generation_run(tmp_path, config, script, deprecated):
    write_servable(tmp_path, config)
    check(tmp_path, script, deprecated)


@pytest.mark.mindspore
@pytest.mark.timeout(300)
@GENERATIONS
def test_they_run_with_models_of_mindspore_and_no_word_of_ours(
    tmp_path, mindir, config, script, deprecated
):
    config = (CONFIG_1_6 if config == CONFIG_2_0 else config).replace(".json", ".mindir")
    write_servable(tmp_path, config.replace("Reference", "MindIR"), functions=())
    for model in ("add", "sub"):
        shutil.copy(mindir / f"{model}.mindir", tmp_path / "add" / "1")
    check(tmp_path, script, deprecated)


def check(tmp_path, script, deprecated):
    """Run the script, which prints what it is known to print."""
    (tmp_path / "add" / "lite.cfg").write_text("")
    ended = run_script(tmp_path, script)
    assert ended.returncode == 0, "\n".join([ended.stdout, ended.stderr, logs_in(tmp_path)])
    twos, threes, ones = ([[float(n)] * 2] * 2 for n in (2, 3, 1))
    assert ended.stdout.splitlines()[-2:] == [str([twos, threes]), str([ones])]
    warned = [line.split("'")[1] for line in ended.stderr.splitlines() if "is deprecated" in line]
    assert warned == deprecated


def test_a_worker_tells_of_each_deprecated_name_of_its_configuration_once(tmp_path):
    write_servable(tmp_path, CONFIG_1_1)
    ended = run_script(
        tmp_path,
        """
        from pathlib import Path
        from shared.declaration import load_servable

        for _ in range(2):
            load_servable(Path("."), "add")
        """,
    )
    assert ended.returncode == 0, ended.stderr
    assert [line.split("'")[1] for line in ended.stderr.splitlines()] == [
        "mindspore_serving.worker.register",
        "declare_servable",
        "call_servable",
        "call_preprocess",
        "call_postprocess_pipeline",
    ]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            "master.start_master_server('127.0.0.1', 0)",
            "Parameter 'master_port' should be in range",
        ),
        (
            "worker.start_servable('.', 'add', worker_port='1')",
            "Parameter 'worker_port' should be int, but actually <class 'str'>",
        ),
        (
            "worker.distributed.startup_worker_agents('127.0.0.1', 0, [])",
            "Parameter 'worker_port' should be in range",
        ),
        (
            "worker.distributed.start_distributed_servable_in_master('.', 'add', 'no.json',"
            " worker_ip=1)",
            "Parameter 'ip' should be str, but actually <class 'int'>",
        ),
        (
            "worker.distributed.start_distributed_servable('.', 'add', 'no.json', master_port=0)",
            "Parameter 'master_port' should be in range",
        ),
        (
            "worker.start_servable_in_master('.', 'add', device_type='TPU')",
            "Unsupported device type 'TPU', only support 'Ascend', 'GPU', 'CPU' and None",
        ),
        ("worker.start_servable_in_master('.', '')", "Parameter 'servable_name' should not be"),
    ],
)
def test_what_old_homes_cannot_do_is_an_error(call, words):
    with pytest.raises(RuntimeError, match=words):
        eval(call, {"master": master, "server": server, "worker": worker})
