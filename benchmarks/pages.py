"""Where results go: JSON files, plots beside them, and the page that shows both."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.environment import ROOT, Environment

PAGE = ROOT / "docs" / "performance.md"
PLOTS = Environment(ROOT / ".bench" / "plots", own=False)
REQUIREMENTS = ("matplotlib==3.11.2",)


def save(result: dict[str, Any], path: Path) -> None:
    """As JSON, one sample a line."""
    samples = {
        key: value
        for key, value in result.items()
        if isinstance(value, list) and not any(isinstance(each, str) for each in value)
    }
    head = {key: value for key, value in result.items() if key not in samples or not value}
    parts = [json.dumps(head, indent=1)[:-2]]
    for key, values in samples.items():
        if values:
            lines = ",\n".join(json.dumps(each) for each in values)
            parts.append(f' "{key}": [\n{lines}\n]')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(",\n".join(parts) + "\n}\n")


def draw(result: Path) -> None:
    """Draw a result's plots beside it, each ``RESULT-PLOT.svg``."""
    if not PLOTS.is_installed(REQUIREMENTS):
        print(f"installing {' '.join(REQUIREMENTS)} ...", flush=True)
        PLOTS.install(REQUIREMENTS)
        PLOTS.confirm(REQUIREMENTS)
    command = [PLOTS.python, "-m", "benchmarks.plots.draw", str(result.resolve())]
    subprocess.run(command, check=True, cwd=ROOT)


def plots_of(result: Path) -> list[str]:
    """The plots of a result, as the page links to them."""
    found = sorted(result.parent.glob(f"{result.stem}-*.svg"))
    return [f"../{each.relative_to(ROOT)}" for each in found]


def linked(plots: Sequence[str]) -> list[str]:
    """(pure) Plots in Markdown."""
    return [f"![{Path(each).stem.partition('-')[2]}]({each})" for each in plots]


def put(begin: str, end: str, content: str) -> None:
    """Replace what stands between two markers of the page."""
    PAGE.write_text(put_between_markers(PAGE.read_text(), begin, end, content))


def put_between_markers(text: str, begin: str, end: str, content: str) -> str:
    """(pure) The page with new content; fails when it has no place for it."""
    before, begins, rest = text.partition(begin)
    _, ends, after = rest.partition(end)
    if not begins or not ends:
        raise ValueError(f"the page has no {begin} and {end}")
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"
