"""Which workers several start configurations come to, under the name that scripts know."""

from collections.abc import Sequence
from pathlib import Path

from mindspore_serving.server.start_config import ServableStartConfig
from shared.versions import existing_versions

__all__ = ["merge_config"]

_CONFIG_FILE = "servable_config.py"


def merge_config(configs: Sequence[ServableStartConfig]) -> list[ServableStartConfig]:
    """One configuration for each servable and version, in the order of their first mention.

    Version 0 becomes the newest version folder, 1 when there is none. Of one version all
    devices are used, and the largest num_parallel_workers. Raises RuntimeError in the
    original's words when a servable is not there, or configurations of it contradict.
    """
    merged: dict[tuple[str, int], ServableStartConfig] = {}
    directories: dict[str, str] = {}
    for config in configs:
        name, directory = config.servable_name, config.servable_directory
        known = directories.setdefault(name, directory)
        if known != directory:
            raise RuntimeError(
                f"The servable directory of servable name {name} is different in multiple"
                f" configurations, servable directory: {directory} and {known}"
            )
        check_folder(directory, name)
        version = config.version_number or _newest_version(Path(directory, name))
        before = merged.get((name, version))
        merged[name, version] = _united(config, before or config, version)
    return list(merged.values())


def check_folder(directory: str, name: str) -> None:
    """Raises RuntimeError in the original's words when a servable is not there."""
    folder = Path(directory, name)
    where = f"servable directory '{directory}'"
    if not folder.is_dir():
        raise RuntimeError(
            f"Check servable config failed, directory '{folder}' not exist, {where}, servable name"
            f" '{name}'"
        )
    if not (folder / _CONFIG_FILE).is_file():
        # Two blanks, as scripts may look for them.
        raise RuntimeError(
            f"Check servable config failed, file '{folder / _CONFIG_FILE}' not exist,  {where},"
            f" servable name '{name}'"
        )


def _newest_version(folder: Path) -> int:
    names = [each.name for each in folder.iterdir() if each.is_dir()]
    return max(existing_versions(names), default=1)


def _united(
    config: ServableStartConfig, before: ServableStartConfig, version: int
) -> ServableStartConfig:
    if (config.dec_key, config.dec_mode) != (before.dec_key, before.dec_mode):
        raise RuntimeError(
            f"The dec key or dec mode of servable name {config.servable_name} is different in"
            " multiple configurations."
        )
    new = [device for device in config.device_ids if device not in before.device_ids]
    return ServableStartConfig(
        config.servable_directory,
        config.servable_name,
        device_ids=(*before.device_ids, *new),
        version_number=version,
        device_type=before.device_type,
        num_parallel_workers=max(config.num_parallel_workers, before.num_parallel_workers),
        dec_key=config.dec_key,
        dec_mode=config.dec_mode,
    )
