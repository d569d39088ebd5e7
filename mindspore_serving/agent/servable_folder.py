"""The servable that a configuration of the original becomes, as a folder that can be served."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from mindspore_serving.config.language_model import LanguageModelConfig

VERSION = 1
_BESIDE = ("tokenizer_config.json", "generation_config.json", "chat_template.jinja")
_HEAD = '''"""Made of the configuration of the script that serves it.

A copy of this folder can be served without that: files below 1/ and beside this one are links.
"""

from mindspore_serving.server import register

'''


def write_servable(config: LanguageModelConfig, folder: Path) -> None:
    """Write ``FOLDER/NAME``, anew if it was there; graphs and tokenizer are linked.

    Raises RuntimeError when it cannot be written.
    """
    servable = folder / config.name
    tokenizer = Path(config.tokenizer)
    graphs = _graphs(config)
    try:
        if servable.exists():
            shutil.rmtree(servable)
        version = servable / str(VERSION)
        version.mkdir(parents=True)
        for files in graphs.values():
            for name, path in files.items():
                (version / name).symlink_to(path)
        (servable / "tokenizer.json").symlink_to(tokenizer)
        for beside in map(tokenizer.with_name, _BESIDE):
            if beside.is_file():
                (servable / beside.name).symlink_to(beside)
        (servable / "servable_config.py").write_text(_declaration(config, graphs))
    except OSError as failure:
        raise RuntimeError(f"Cannot write servable '{servable}': {failure}") from None


def files_of_rank(config: LanguageModelConfig, rank: int) -> list[str]:
    """The files that a rank's agent has, in the order in which they are declared."""
    choosers = [each for each in (config.argmax, config.topk) if each]
    return [*config.prefill[rank], *config.decode[rank], *choosers]


def _graphs(config: LanguageModelConfig) -> dict[str, dict[str, str]]:
    """The paths of the graphs by the names that they get, for each parameter of the declaration.

    Names are those of the files, unless several have the same. Of several ranks each agent has
    files of its own, in the order of these.
    """
    prefill, decode = config.prefill[0], config.decode[0]
    parameters: dict[str, Sequence[str]] = {
        "prefill_model": prefill,
        "decode_model": decode,
        "argmax_model": [config.argmax] if config.argmax else [],
        "topk_model": [config.topk] if config.topk else [],
    }
    used: set[str] = set()
    named: dict[str, dict[str, str]] = {}
    for parameter, paths in parameters.items():
        named[parameter] = {}
        for number, path in enumerate(paths):
            name = Path(path).name
            if name in used:
                name = f"{parameter.removesuffix('_model')}_{number}_{name}"
            used.add(name)
            named[parameter][name] = path
    return named


def _declaration(config: LanguageModelConfig, graphs: dict[str, dict[str, str]]) -> str:
    said: dict[str, object] = {name: list(files) for name, files in graphs.items()}
    for chooser in ("argmax_model", "topk_model"):
        said[chooser] = next(iter(graphs[chooser]), None)
    ranks = {"rank_size": len(config.agents)} if len(config.agents) > 1 else {}
    arguments = "".join(
        f"    {name}={value!r},\n" for name, value in (said | dict(config.declared) | ranks).items()
    )
    return f"{_HEAD}register.declare_language_model(\n{arguments})\n"
