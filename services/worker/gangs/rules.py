"""How gangs start and run: what a worker was told of them."""

from dataclasses import dataclass
from pathlib import Path

from shared.errors import LoadFailed
from shared.rank_table import RankPlace, check_places, read_rank_table
from shared.servable import Distribution


@dataclass(frozen=True, slots=True)
class RankTable:
    """The file that says where ranks run."""

    text: str = ""
    places: tuple[RankPlace, ...] = ()
    name: str = ""
    """What errors call the file."""

    @classmethod
    def read(cls, path: Path) -> "RankTable":
        """Raises LoadFailed naming file, field and rank."""
        try:
            text = path.read_text()
        except OSError as failure:
            raise LoadFailed(
                f"failed to open rank table file: '{path.name}': {failure.strerror}"
            ) from None
        except ValueError:
            raise LoadFailed(f"Rank table file '{path.name}': it is no text") from None
        return cls(text, read_rank_table(text, path.name), path.name)


@dataclass(frozen=True, slots=True)
class GangRules:
    """The same for all gangs of a model."""

    start_seconds: float = 600.0
    """A start that takes longer is given up."""
    call_seconds: float = 10.0
    """A gang that takes longer for a batch is ended."""
    compare: bool = False
    """Whether all ranks of the last stage return outputs, which must be equal."""
    table: RankTable = RankTable()

    def check(self, distribution: Distribution, device_type: str = "CPU") -> None:
        """Raises LoadFailed when the ranks cannot be where the table says."""
        if self.table.places:
            size, stages = distribution.rank_size, distribution.stage_size
            check_places(self.table.places, self.table.name, size, stages, device_type)
