"""The servable ``add`` of script tests, a script that serves it, and calls of it."""

from pathlib import Path
from typing import Any

import numpy as np

from mindspore_serving.client import Client
from tests.support.scripts import RunningScript

CONFIG = """
    import os
    import time
    from mindspore_serving import log
    from mindspore_serving.server import register

    add = register.declare_model("add.json", "Reference", with_batch_dim=False)
    log.info("device %s", os.environ["SERVING_DEVICE_ID"])


    def slowly(x1):
        time.sleep(1)
        return x1


    @register.register_method(output_names=["y"])
    def add_common(x1, x2):
        return register.add_stage(add, x1, x2, outputs_count=1)


    @register.register_method(output_names=["y"])
    def add_slowly(x1, x2):
        x1 = register.add_stage(slowly, x1, outputs_count=1)
        return register.add_stage(add, x1, x2, outputs_count=1)
"""
START = """
    import sys
    from mindspore_serving import server

    server.start_servables(server.ServableStartConfig("my servables", "add", device_ids=DEVICES))
    server.start_grpc_server(ADDRESS)
    print("started", flush=True)
"""
INSTANCE = {"x1": np.ones((2, 2), np.float32), "x2": np.ones((2, 2), np.float32)}
TWOS = [[2, 2], [2, 2]]


def started(folder: Path, address: str, devices: str = "0", **options: Any) -> RunningScript:
    """A script that serves ``folder/my servables/add`` at ``address``."""
    text = START.replace("DEVICES", devices).replace("ADDRESS", repr(address))
    return RunningScript(folder, text, **options)


def infer(address: str, method: str = "add_common", **options: Any) -> Any:
    """One plus one, elementwise; or the error."""
    with Client(address, "add", method, **options) as client:
        result = client.infer(INSTANCE, timeout=20)
    return result if isinstance(result, dict) else result[0]["y"].tolist()
