"""What ``distributed.start_servable`` is told, checked in the original's words."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mindspore_serving.server._servable_local import check_folder
from mindspore_serving.server.front import DISTRIBUTED, check_address, check_text
from mindspore_serving.server.start_config import script_folder
from shared.addresses import HostPort, is_loopback
from shared.declaration_arguments import check_count
from shared.errors import LoadFailed
from shared.rank_table import RankPlace, check_places, read_rank_table

_LOOPBACK = "127.0.0.1"


class DistributedStartConfig:
    """A distributed servable to start: its rank table, and where agents join.

    Raises RuntimeError for arguments that cannot be used, and for a rank table that is none.
    """

    def __init__(
        self,
        servable_directory: str,
        servable_name: str,
        rank_table_json_file: str,
        version_number: int,
        distributed_address: str,
        wait_agents_time_in_seconds: int,
    ) -> None:
        check_text("servable_directory", servable_directory)
        check_text("servable_name", servable_name)
        check_count("version_number", version_number, at_least=0)
        check_text("rank_table_json_file", rank_table_json_file)
        check_text("distributed_address", distributed_address)
        check_count("wait_agents_time_in_seconds", wait_agents_time_in_seconds, at_least=0)
        check_address(DISTRIBUTED, distributed_address)
        self.servable_directory = str(script_folder() / servable_directory)
        self.servable_name = servable_name
        check_folder(self.servable_directory, servable_name)
        self.version_number = version_number or 1
        self.rank_table_json_file = str(script_folder() / rank_table_json_file)
        self.places = _places(self.rank_table_json_file)
        self.wait_agents_time_in_seconds = wait_agents_time_in_seconds
        self.distributed_address = _listened(distributed_address, self.places)

    @property
    def local_address(self) -> str:
        """Where this host calls the worker."""
        address = HostPort.parse(self.distributed_address)
        return str(replace(address, host=_LOOPBACK) if address.is_wildcard else address)


def _places(file: str) -> Sequence[RankPlace]:
    if not Path(file).exists():
        # Two colons that are wide, as the original has them.
        raise RuntimeError(f"failed to get realpath of\uff1a{file}")
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise RuntimeError(f"failed to open rank table file\uff1a{file}") from None
    try:
        places = read_rank_table(text, file)
        # How many ranks the model has, and on which devices it runs, the worker knows.
        check_places(places, file, len(places), stage_size=1, device_type="CPU")
    except LoadFailed as failure:
        raise RuntimeError(failure.message) from None
    return places


def _listened(asked: str, places: Sequence[RankPlace]) -> str:
    """Not beyond loopback where no agent is beyond it."""
    address = HostPort.parse(asked)
    if address.is_wildcard and all(is_loopback(place.ip) for place in places):
        return str(replace(address, host=_LOOPBACK))
    return asked
