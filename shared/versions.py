"""Which versions of a servable exist, and which of them is meant."""

import re
from collections.abc import Iterable

from shared.errors import LoadFailed

# Digits that read back as written and fit the wire's 64 bits: "01" and "0" are no versions.
_VERSION = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def existing_versions(folder_names: Iterable[str]) -> tuple[int, ...]:
    """The versions among the names of a servable's folders, oldest first."""
    return tuple(sorted({int(name) for name in folder_names if _VERSION.fullmatch(name)}))


def choose_version(
    folder_names: Iterable[str], wanted: int, *, has_models: bool, servable: str
) -> int:
    """The version to load: ``wanted``, or the newest when ``wanted`` is 0.

    Without models no folder is needed, and 0 means version 1.
    Raises LoadFailed in the original's words when there is no such version.
    """
    if wanted < 0:
        raise LoadFailed(
            f"Parameter 'version_number' should be >= 0, but is {wanted}, servable name: {servable}"
        )
    if not has_models:
        return wanted or 1
    versions = existing_versions(folder_names)
    if not versions:
        raise LoadFailed(
            "There is no valid version directory of models while there are models declared in"
            f" servable_config.py, servable name: {servable}"
        )
    if wanted and wanted not in versions:
        raise LoadFailed(
            "Start servable failed: There is no specified version directory of models, specified"
            f" version number: {wanted}, servable name: {servable},"
            f" existing versions: {', '.join(map(str, versions))}"
        )
    return wanted or versions[-1]
