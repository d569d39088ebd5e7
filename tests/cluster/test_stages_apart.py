"""A worker whose Python stages run in processes of their own."""

import psutil

from tests.support.cluster import add_servable, outputs, until

CONFIG = """import os
import signal

from mindspore_serving.server import register

model = register.declare_model(model_file="model.json", model_format="Reference")


def before(x):
    if x[0] == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return x + 1


def asks(x):
    return model.call(x)


@register.register_method(output_names=["y"])
def predict(x1):
    return register.add_stage(
        model, register.add_stage(before, x1, outputs_count=1), outputs_count=1
    )


@register.register_method(output_names=["y"])
def ask(x1):
    return register.add_stage(asks, x1, outputs_count=1)
"""


def stage_processes(cluster):
    below = psutil.Process(cluster.processes["worker"].pid).children(recursive=True)
    return {each.pid for each in below if "services.worker.stages" in each.cmdline()}


async def test_stages_run_in_processes_that_may_die(cluster):
    add_servable(cluster.servables)
    (cluster.servables / "toy" / "servable_config.py").write_text(CONFIG)
    await cluster.start_all(worker=("--stage-processes", "2"))
    assert outputs(await cluster.predict([1, 2], [3, 4])) == [[4, 6], [8, 10]]
    assert outputs(await cluster.predict([1, 2], method="ask")) == [[2, 4]]
    await until(lambda: len(stage_processes(cluster)) == 2, what="both stage processes")
    first = stage_processes(cluster)
    reply = await cluster.predict([1, 2], [13, 0], [3, 4])
    assert [bool(each.error_code) for each in reply.error_msg] == [False, True, False]
    assert "Call Function 'toy.before' Failed" in reply.error_msg[1].error_msg.decode()
    assert "the stage process ended (SIGKILL)" in reply.error_msg[1].error_msg.decode()
    await until(
        lambda: len(stage_processes(cluster)) == 2 and stage_processes(cluster) != first,
        what="another process in its place",
    )
    assert outputs(await cluster.predict([5, 6])) == [[12, 14]]
    left = stage_processes(cluster)
    cluster.processes["worker"].kill()
    await until(lambda: not any(map(psutil.pid_exists, left)), what="no stage process to be left")
