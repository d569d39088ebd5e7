"""Loads servables from their directory: the declaration, and where the model files are."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from services.worker.language.files import Language, load_language
from services.worker.servable.wanted import Wanted
from shared.declaration import load_servable
from shared.errors import LoadFailed
from shared.membership import Assigned, ModelFiles
from shared.servable import LanguageGraphs, ModelOptions, Servable, ServableVersion
from shared.versions import choose_version

CONFIG_FILE = "servable_config.py"
# Configurations of the original read it; here one process serves all devices.
_DEVICE_VARIABLE = "SERVING_DEVICE_ID"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A servable version that this worker can serve once agents hold its models."""

    what: ServableVersion
    servable: Servable
    assigned: Assigned
    language: Language | None = None
    """Of its language model, if it has one."""


def find_servables(directory: Path) -> list[str]:
    """Names of the servables in ``directory``; raises LoadFailed when there is no such folder."""
    if not directory.is_dir():
        raise LoadFailed(f"servable directory '{directory}' does not exist")
    return sorted(config.parent.name for config in directory.glob(f"*/{CONFIG_FILE}"))


def version_folders(directory: Path, name: str) -> list[str]:
    """Names of the folders beside a servable's configuration; none when it is not there."""
    folder = directory / name
    return [entry.name for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []


def load(directory: Path, wanted: Wanted, *, max_batch_size: int) -> Loaded:
    """Import a servable and pick its version. Runs the servable's own code: use a thread.

    Raises LoadFailed naming the servable and the cause.
    """
    if wanted.name not in find_servables(directory):
        raise LoadFailed(f"servable '{wanted.name}': there is no {CONFIG_FILE} for it")
    os.environ.setdefault(_DEVICE_VARIABLE, "0")
    servable = load_servable(directory, wanted.name)
    version = choose_version(
        version_folders(directory, wanted.name),
        wanted.version,
        # The files of a distributed model lie where its agents are.
        has_models=bool(servable.models) and servable.distribution is None,
        servable=wanted.name,
    )
    what = ServableVersion(wanted.name, version)
    folder = (directory / wanted.name / str(version)).absolute()
    models = tuple(
        ModelFiles(
            key=model.key,
            format=model.format,
            paths=tuple(str(folder / file) for file in model.files),
            with_batch_dim=model.with_batch_dim,
            without_batch_dim_inputs=model.without_batch_dim_inputs,
            max_batch_size=model.batching.max_batch_size or max_batch_size,
            options=_options(model.options, folder.parent),
            language=_graphs(model.language, folder),
        )
        for model in servable.models.values()
    )
    return Loaded(what, servable, Assigned(what, models), _language(what, servable, folder))


def _graphs(declared: LanguageGraphs | None, folder: Path) -> LanguageGraphs | None:
    if declared is None:
        return None
    return replace(declared, tokenizer=str(_beside(folder, declared.tokenizer)))


def _language(what: ServableVersion, servable: Servable, folder: Path) -> Language | None:
    model = servable.language_model
    if model is None or model.language is None or model.generation is None:
        return None
    template = model.generation.chat_template
    try:
        return load_language(
            model.generation,
            _beside(folder, model.language.tokenizer),
            _beside(folder, template) if template else None,
        )
    except LoadFailed as failure:
        raise LoadFailed(f"{what}: {failure.message}") from failure


def _beside(folder: Path, file: str) -> Path:
    """A file of the version, or of all versions."""
    own = folder / file
    return own if own.is_file() else folder.parent / file


def _options(declared: ModelOptions, folder: Path) -> ModelOptions:
    """With the path of the file that was named relative to the servable's folder."""
    if not declared.config_file:
        return declared
    return replace(declared, config_file=str(folder / declared.config_file))
