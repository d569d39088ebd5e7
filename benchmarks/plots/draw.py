"""``python -m benchmarks.plots.draw RESULT.json`` draws plots beside it, where matplotlib is."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.plots import generation
from benchmarks.plots.axes import Rows, logarithmic, spread

IN_FLIGHT = 64
COLOURS = {"grpcio": "#4c72b0", "native": "#dd8452", "leaking": "#999999"}


def cpu_of_servers(samples: Rows) -> Figure | None:
    """A dot for each server, a panel for each work; servers differ by factors, so in logs."""
    ours = [each for each in samples if each["in_flight"] == IN_FLIGHT]
    works = sorted({each["work"] for each in ours})
    if not works:
        return None
    rows = (len(works) + 1) // 2
    figure, axes = plt.subplots(rows, 2, figsize=(9, 2.6 * rows), squeeze=False)
    for axis in axes.flat[len(works) :]:
        axis.axis("off")
    for axis, work in zip(axes.flat, works, strict=False):
        servers = list(dict.fromkeys(each["server"] for each in ours if each["work"] == work))
        bars = [
            spread([each["cpu_us"] for each in ours if (each["work"], each["server"]) == (work, s)])
            for s in servers
        ]
        for server, (middle, below, above) in zip(servers, bars, strict=True):
            axis.errorbar(
                middle, server, xerr=[[below], [above]], fmt="o", capsize=2,
                color="#dd8452" if "mindserve" in server else "#4c72b0",
            )  # fmt: skip
        logarithmic(axis, "x")
        axis.grid(axis="x", which="both", color="#eeeeee")
        axis.set_axisbelow(True)
        axis.invert_yaxis()
        axis.set_title(f"work {work}: CPU µs per request, {IN_FLIGHT} in flight", loc="left")
    return figure


def lines(axis: Axes, points: Rows, x: str, y: str) -> None:
    """A line of medians for each wire, with the extremes as bars."""
    for wire in dict.fromkeys(each["wire"] for each in points):
        sizes = sorted({each[x] for each in points if each["wire"] == wire})
        found = [
            spread([each[y] for each in points if (each["wire"], each[x]) == (wire, size)])
            for size in sizes
        ]
        axis.errorbar(
            sizes,
            [each[0] for each in found],
            marker="o",
            markersize=3,
            capsize=2,
            yerr=list(zip(*(each[1:] for each in found), strict=True)),
            label=wire,
            color=COLOURS[wire],
        )
    logarithmic(axis, "x")
    axis.legend(frameon=False)


def scaling(part: str, what: str, unit: str) -> Callable[[Rows], Figure | None]:
    """CPU time per request and requests per second over what a part varies."""

    def draw(points: Rows) -> Figure | None:
        ours = [each for each in points if each["part"] == part]
        if not ours:
            return None
        figure, axes = plt.subplots(1, 2, figsize=(9, 2.8))
        for axis, figure_of, title in (
            (axes[0], "cpu_us", f"CPU µs per request{what}"),
            (axes[1], "per_second", "requests per second"),
        ):
            lines(axis, ours, "size", figure_of)
            axis.set_xlabel(unit)
            axis.set_title(title, loc="left")
            if part == "payload":
                logarithmic(axis, "y")
            else:
                axis.set_ylim(bottom=0)
        return figure

    return draw


def flat(moments: Rows) -> Figure | None:
    """Memory and CPU time per request over a long run."""
    if not moments:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(9, 2.8))
    for axis, key, title in (
        (axes[0], "written_mb", "memory, MB"),
        (axes[1], "cpu_us", "CPU µs per request"),
    ):
        for run in dict.fromkeys(each["run"] for each in moments):
            ours = [each for each in moments if each["run"] == run]
            axis.plot(
                [each["second"] / 60 for each in ours],
                [each[key] for each in ours],
                label=run,
                color=COLOURS[run],
            )
        logarithmic(axis, "y")
        axis.set_xlabel("minutes")
        axis.set_title(title, loc="left")
        axis.legend(frameon=False)
    return figure


PLOTS: dict[str, tuple[str, Callable[[Rows], Figure | None]]] = {
    "cpu": ("samples", cpu_of_servers),
    "callers": ("points", scaling("callers", "", "concurrent callers")),
    "workers": ("points", scaling("workers", ", master alone", "workers")),
    "payload": ("points", scaling("payload", "", "bytes of a request")),
    "flat": ("moments", flat),
    "servers": ("served", generation.servers),
    "load": ("answers", generation.load),
}


def main(path: Path) -> None:
    result = json.loads(path.read_text())
    for name, (key, draw) in PLOTS.items():
        figure = draw(result.get(key, []))
        target = path.with_name(f"{path.stem}-{name}.svg")
        target.unlink(missing_ok=True)
        if figure is not None:
            figure.tight_layout()
            figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
