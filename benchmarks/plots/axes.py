"""What all plots have in common: how they look, spreads, scales that people read."""

import statistics
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

mpl.use("svg")
# The same result gives the same file.
mpl.rcParams.update({"svg.hashsalt": "mindserve", "svg.fonttype": "none", "font.size": 9,
                     "axes.spines.top": False, "axes.spines.right": False})  # fmt: skip

Rows = list[dict[str, Any]]


def spread(values: list[float]) -> tuple[float, float, float]:
    """Median, and how far the least and the most are from it."""
    middle = statistics.median(values)
    return middle, middle - min(values), max(values) - middle


def logarithmic(axis: Axes, side: str) -> None:
    """Scale one side in logs, with numbers that people read."""
    axis.set(**{f"{side}scale": "log"})
    ours = axis.xaxis if side == "x" else axis.yaxis
    least, most = sorted(ours.get_view_interval())
    is_wide = most >= 100 * least
    ours.set_major_locator(LogLocator(subs=(1,) if is_wide else (1, 2, 5)))
    ours.set_major_formatter(EngFormatter(sep="") if is_wide else "{x:,g}")
    ours.set_minor_locator(NullLocator())
