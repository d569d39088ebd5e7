"""One stack for all tests of a module, called as users of the original call it."""

import asyncio
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import adding
from tests.support.cluster import Cluster, add_servable
from tests.support.scripts import write_servable

CONFIG = """
    import numpy as np

    from mindspore_serving.server import register

    model = register.declare_model(model_file="model.json", model_format="Reference")


    def describe_value(x):
        if isinstance(x, np.ndarray):
            return f"{x.dtype.name}{list(x.shape)} writable={x.flags.writeable}"
        return type(x).__name__


    def only_positive(x):
        if x[0] < 0:
            raise ValueError(f"{x[0]} is negative")
        return x


    @register.register_method(output_names=["y"])
    def double(x):
        return register.add_stage(model, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def echo(x):
        return x


    @register.register_method(output_names=["text"])
    def describe(x):
        return register.add_stage(describe_value, x, outputs_count=1)


    @register.register_method(output_names=["y", "x"])
    def positive(x):
        y = register.add_stage(only_positive, x, outputs_count=1)
        return register.add_stage(model, y, outputs_count=1), x


    ODD = {
        "fine": lambda x: [(x,)],
        "more": lambda x: [(x,), (x,)],
        "outputs": lambda x: [(x, x)],
        "type": lambda x: [object()],
        "fewer": lambda x: [],
        "no list": lambda x: None,
    }


    def return_oddly(instances):
        ((what, x),) = instances
        return ODD[what](x)


    @register.register_method(output_names=["y"])
    def odd(what, x):
        return register.add_stage(return_oddly, what, x, outputs_count=1, batch_size=1)


    @register.register_method(output_names=["a", "b"])
    def kinds(x):
        return register.add_stage(lambda x: ("text", b"raw"), x, outputs_count=2)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for a script; its servables' has a blank in its name."""
    write_servable(tmp_path / "my servables", adding.CONFIG)
    return tmp_path


@pytest.fixture(scope="module", params=["grpcio", "native"])
def stack(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("stack"), request.param)
    add_servable(cluster.servables, "toy")
    (cluster.servables / "toy" / "servable_config.py").write_text(textwrap.dedent(CONFIG))
    try:
        cluster.start_master("--max-message-mb", "8")
        cluster.start_agent("agent", cluster.start_worker())
        asyncio.run(cluster.ready("toy"))
        yield cluster
    finally:
        cluster.stop()
