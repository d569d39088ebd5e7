"""Distributed servables of the reference backend."""

from tests.support.reference import reference_model


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
    files = []
    for rank in range(rank_size):
        file = directory.parent / "model" / f"device{rank}" / "model.json"
        file.parent.mkdir(parents=True)
        described = reference_model(
            "double",
            dims=(-1, columns),
            latency_seconds=latency_seconds,
            faults=(faults or {}) if rank == rank_size - 1 else {},
        )
        file.write_text(described)
        files.append(str(file))
    return files
