"""The example pipeline_worker of version 1.3, as scripts of that version have it: two devices."""

import pytest

from tests.support.scripts import RunningScript, run_script, write_servable

CONFIG = '''
from mindspore_serving.server import register
from mindspore_serving.server.register import PipelineServable

register.declare_servable(servable_file=["tensor_add.FORMAT", "tensor_sub.FORMAT"],
                          model_format="KIND", with_batch_dim=False)


@register.register_method(output_names=["y"])
def add_common(x1, x2):  # only support float32 inputs
    """method add_common data flow definition, only call model servable"""
    y = register.call_servable(x1, x2, subgraph=0)
    return y


@register.register_method(output_names=["y"])
def sub_common(x1, x2):
    """method sub_common data flow definition, only call model servable"""
    y = register.call_servable(x1, x2, subgraph=1)
    return y


servable1 = PipelineServable(servable_name="pipeline", method="add_common", version_number=1)
servable2 = PipelineServable(servable_name="pipeline", method="sub_common", version_number=1)


@register.register_pipeline(output_names=["y1", "y2"])
def predict(x1, x2):
    y1 = servable1.run(x1, x2)
    y2 = servable2.run(x1, x2)
    return y1, y2


@register.register_pipeline(output_names=["y1", "y2"])
def predict_test(x):
    y1 = servable1.run(x, x)
    y2 = servable2.run(x, x)
    return y1, y2
'''
SERVER = """
    import os
    import sys
    from mindspore_serving import server


    def start():
        servable_dir = os.path.dirname(os.path.realpath(sys.argv[0]))

        servable_config = server.ServableStartConfig(servable_directory=servable_dir,
                                                     servable_name="pipeline", device_ids=(0, 1))
        server.start_servables(servable_configs=servable_config)

        server.start_grpc_server(address="127.0.0.1:PORT")
        server.start_restful_server(address="127.0.0.1:PORT2")


    if __name__ == "__main__":
        start()
"""
CLIENT = """
    import sys
    import numpy as np
    from mindspore_serving.client import Client


    def show(result):
        print([(each["y1"].tolist(), each["y2"].tolist()) for each in result])


    def run_predict():
        client = Client(sys.argv[1], "pipeline", "predict")
        instances = []
        for number in (1, 2, 3):
            x = np.full((2, 2), number).astype(np.float32)
            instances.append({"x1": x, "x2": x})
        show(client.infer(instances))


    def run_predict_test():
        client = Client(sys.argv[1], "pipeline", "predict_test")
        show(client.infer([{"x": np.full((2, 2), n).astype(np.float32)} for n in (1, 2, 3)]))


    def run_method():
        client = Client(sys.argv[1], "pipeline", "add_common")
        x = np.ones((2, 2), np.float32)
        print(client.infer({"x1": x, "x2": x}))


    if __name__ == '__main__':
        run_predict()
        run_predict_test()
        run_method()
"""
EXPORT = """
    import numpy as np
    import mindspore as ms
    from mindspore import Tensor, nn, ops

    class Net(nn.Cell):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def construct(self, x1, x2):
            return self.function(x1, x2)

    ms.set_device("CPU")
    x = Tensor(np.ones((2, 2), np.float32))
    for name, function in (("tensor_add", ops.Add()), ("tensor_sub", ops.Sub())):
        file = f"pipeline/1/{name}"
        ms.export(Net(function), x, x, file_name=file, file_format="MINDIR")
"""
"""The two models of the example; its own export script is for other devices."""


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("Reference", "json"),
        pytest.param("MindIR", "mindir", marks=[pytest.mark.mindspore, pytest.mark.timeout(300)]),
    ],
)
def test_the_example_gives_the_examples_numbers(tmp_path, kind, suffix):
    config = CONFIG.replace("FORMAT", suffix).replace("KIND", kind)
    write_servable(tmp_path, config, name="pipeline")
    if kind == "MindIR":
        exported = run_script(tmp_path, EXPORT)
        assert exported.returncode == 0, exported.stderr
    else:
        for function in ("add", "sub"):
            file = tmp_path / "pipeline" / "1" / f"{function}.json"
            file.rename(file.with_name(f"tensor_{function}.json"))
    with RunningScript(tmp_path, SERVER, name="serving_server.py") as script:
        address = script.until("gRPC server start success").rpartition(" ")[2]
        script.until("RESTful server start success")
        agents = [each for each in script.children() if "services.agent" in each.cmdline()]
        assert len(agents) == 2
        ended = run_script(tmp_path, CLIENT, address, name="serving_client.py")
    assert ended.returncode == 0, ended.stderr
    twos, fours, sixes, none = ([[float(n)] * 2] * 2 for n in (2, 4, 6, 0))
    expected = str([(each, none) for each in (twos, fours, sixes)])
    refused = "Request servable(pipeline) method(add_common) , method is not available"
    assert ended.stdout.splitlines() == [expected, expected, str({"error": refused})]
