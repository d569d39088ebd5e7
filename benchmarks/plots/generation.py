"""Plots of texts being continued."""

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from benchmarks.plots.axes import Rows, logarithmic, spread

OURS, OTHER = "#dd8452", "#4c72b0"
PANELS = (
    ("alone", "tokens_per_second", "tokens/s, one text at a time"),
    ("varied", "tokens_per_second", "tokens/s, 16 texts at once"),
    ("alone", "first_ms", "ms to the first token, one text at a time"),
    ("varied", "first_ms", "ms to the first token, 16 texts at once"),
)


def servers(served: Rows) -> Figure | None:
    """A dot for each server, a panel for each figure; in logs."""
    # Ours with something switched off do not get this load.
    names = list(dict.fromkeys(each["server"] for each in served if each["load"] == "equal"))
    if not names:
        return None
    figure, axes = plt.subplots(2, 2, figsize=(9, 0.9 + 0.5 * len(names)))
    for axis, (load, key, title) in zip(axes.flat, PANELS, strict=True):
        for name in names:
            found = [each[key] for each in served if (each["server"], each["load"]) == (name, load)]
            if found:
                middle, below, above = spread(found)
                colour = OURS if name == "mindserve" else OTHER
                axis.errorbar(
                    middle, name, xerr=[[below], [above]], fmt="o", capsize=2, color=colour
                )
        logarithmic(axis, "x")
        axis.grid(axis="x", which="both", color="#eeeeee")
        axis.set_axisbelow(True)
        axis.invert_yaxis()
        axis.set_title(title, loc="left")
    return figure


def load(answers: Rows) -> Figure | None:
    """How long answers took: the share of them that were not slower."""
    answers = [each for each in answers if not each["error"]]
    if not answers:
        return None
    figure, axes = plt.subplots(1, 3, figsize=(9, 2.8))
    for axis, values, title in (
        (axes[0], [each["first_ms"] for each in answers], "ms to the first token"),
        (axes[1], [gap for each in answers for gap in each["gaps_ms"]], "ms between two pieces"),
        (axes[2], [each["took_ms"] for each in answers], "ms of a whole answer"),
    ):
        ordered = sorted(values)
        share = [100 * (place + 1) / len(ordered) for place in range(len(ordered))]
        axis.step(ordered, share, where="post", color=OURS)
        axis.set_ylim(0, 100)
        axis.set_xlim(left=0)
        axis.grid(color="#eeeeee")
        axis.set_title(title, loc="left")
    axes[0].set_ylabel("% of all are not slower")
    return figure
