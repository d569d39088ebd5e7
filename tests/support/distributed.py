"""Distributed servables of the reference backend."""

import json


def add_distributed(
    directory,
    *,
    rank_size=2,
    stage_size=1,
    options="",
    faults=None,
    latency_seconds=0.0,
    columns=2,
):
    """A servable of ``rank_size`` ranks; each doubles, the last rank also fails on demand."""
    folder = directory / "toy"
    folder.mkdir()
    (folder / "servable_config.py").write_text(
        "from mindspore_serving.server import distributed, register\n\n"
        f"model = distributed.declare_servable({rank_size}, {stage_size},"
        f' model_format="Reference"{options})\n\n\n'
        '@register.register_method(output_names=["y"])\n'
        "def predict(x1):\n"
        "    return register.add_stage(model, x1, outputs_count=1)\n"
    )
    spec = {"dtype": "float32", "dims": [-1, columns]}
    files = []
    for rank in range(rank_size):
        file = directory.parent / "model" / f"device{rank}" / "model.json"
        file.parent.mkdir(parents=True)
        described = {
            "function": "double",
            "inputs": [{"name": "x1", **spec}],
            "outputs": [{"name": "y", **spec}],
            "latency_seconds": latency_seconds,
            "faults": (faults or {}) if rank == rank_size - 1 else {},
        }
        file.write_text(json.dumps(described))
        files.append(str(file))
    return files
