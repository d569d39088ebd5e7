"""A benchmark's result, from the end of its run to the page that shows it."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, pages
from benchmarks.peers.environment import ROOT
from benchmarks.program import until_interrupted

RESULTS = ROOT / "benchmarks" / "results"


def add_options(parser: argparse.ArgumentParser, name: str) -> None:
    """What every benchmark with a place in the page understands."""
    parser.add_argument("--result", type=Path, default=ROOT / ".bench" / f"{name}.json")
    parser.add_argument(
        "--write", action="store_true", help="replace the committed result and what shows it"
    )
    parser.add_argument("--render", action="store_true", help="only what shows it, once more")


@dataclass(frozen=True, slots=True)
class Report:
    """A committed result and its place in the page."""

    name: str
    begin: str
    end: str
    tables: Callable[..., str]
    """(pure) What stands between these markers; takes ``plots`` where there are any."""
    has_plots: bool = False
    generators: Sequence[str] = ()
    """Programs that made the load."""

    @property
    def path(self) -> Path:
        """Of the committed result."""
        return RESULTS / f"{self.name}.json"

    def main(self, given: argparse.Namespace, run: Callable[[argparse.Namespace], int]) -> int:
        """Only show the committed result once more, or run; gives the exit status."""
        if given.render:
            self.render()
            return 0
        if absent := machine.missing(*self.generators):
            sys.exit(absent)
        return until_interrupted(lambda: run(given))

    def publish(
        self,
        given: argparse.Namespace,
        settings: Mapping[str, Any],
        failures: Sequence[str],
        samples: Mapping[str, Sequence[Any]],
    ) -> int:
        """Print and save what was found, and show it if asked to; gives the exit status."""
        result = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": machine.described(*self.generators),
            "rounds": given.rounds,
            **settings,
            "failures": failures,
            **samples,
        }
        print(self.tables(result))
        pages.save(result, given.result)
        if given.write:
            pages.save(result, self.path)
            self.render()
        return 1 if failures else 0

    def render(self) -> None:
        """Put the committed result's tables and plots into the page."""
        result = json.loads(self.path.read_text())
        if self.has_plots:
            pages.draw(self.path)
            content = self.tables(result, plots=pages.plots_of(self.path))
        else:
            content = self.tables(result)
        pages.put(self.begin, self.end, content)
