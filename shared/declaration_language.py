"""The language model of a servable: its graphs, and how texts are continued with them."""

from collections.abc import Mapping, Sequence

from shared import declaration_arguments as arguments
from shared.declaration_state import Declaration, current_declaration
from shared.servable import Distribution, Generation, LanguageGraphs, ModelSpec

_FAILED = "Declare language model failed"
# Rules of the scheduler that a declaration may set, and the least that makes sense.
_RULES = {
    "token_budget": 1, "chunk_tokens": 1, "max_prefill_batch": 1, "speculated_tokens": 0,
    "spare_blocks": 0, "recoveries": 0, "max_waiting": 1,
}  # fmt: skip
_SWITCHES = ("ahead", "continuous", "length_fitted", "prefix_cache")
_MOST_IDS = 2**31


def declare_language_model(
    prefill_model: str | Sequence[str],
    decode_model: str | Sequence[str],
    argmax_model: str | None,
    topk_model: str | None,
    model_format: str,
    *,
    tokenizer: str,
    chat_template: str | None,
    eos_ids: int | Sequence[int] | None,
    max_model_len: int,
    slots: int,
    block_size: int,
    blocks: int | None,
    adapters: Mapping[str, int] | None,
    device_post_sampling: bool,
    decode_cores: int | None,
    rank_size: int,
    patience_seconds: float,
    rules: Mapping[str, int | None],
) -> None:
    """Record it under the servable's own name; raises RuntimeError when it contradicts itself."""
    declaration = current_declaration()
    arguments.check_count("rank_size", rank_size, at_least=1)
    distribution = Distribution(rank_size) if rank_size > 1 else None
    _check_alone(declaration, distribution)
    prefill = arguments.model_files_of(prefill_model)
    decode = arguments.model_files_of(decode_model)
    choosing: tuple[str, ...] = ()
    for parameter, file in (("argmax_model", argmax_model), ("topk_model", topk_model)):
        if file is not None:
            arguments.check_text(parameter, file)
            choosing += arguments.model_files_of(file)
    files = (*prefill, *decode, *choosing)
    _check_files(declaration, files)
    arguments.check_flag("device_post_sampling", device_post_sampling)
    arguments.check_seconds("patience_seconds", patience_seconds, above=True)
    for parameter, count in (
        ("max_model_len", max_model_len), ("slots", slots), ("block_size", block_size),
    ):  # fmt: skip
        arguments.check_count(parameter, count, at_least=1)
    arguments.check_count("max_model_len", max_model_len, at_least=2)
    if blocks is None:
        blocks = slots * -(-max_model_len // block_size)
    arguments.check_count("blocks", blocks, at_least=1)
    if decode_cores is not None:
        arguments.check_count("decode_cores", decode_cores, at_least=1)
    for parameter, file in (("tokenizer", tokenizer), ("chat_template", chat_template)):
        if file is not None:
            _check_beside(declaration, parameter, file)
    graphs = LanguageGraphs(
        len(prefill),
        len(decode),
        argmax=argmax_model is not None,
        topk=topk_model is not None,
        block_size=block_size,
        blocks=blocks,
        tokenizer=tokenizer,
        device_post_sampling=device_post_sampling,
        decode_cores=decode_cores or 0,
    )
    generation = Generation(
        max_model_len,
        slots,
        None if eos_ids is None else _ids("eos_ids", eos_ids),
        chat_template or "",
        _adapters_of(declaration, adapters or {}),
        _rules_of(rules, slots),
        float(patience_seconds),
    )
    key = declaration.servable
    declaration.models[key] = ModelSpec(
        key,
        # Those of ranks are named by the agents that have them.
        files if distribution is None else (),
        arguments.model_format_of(model_format),
        with_batch_dim=True,
        distribution=distribution,
        language=graphs,
        generation=generation,
    )


def _check_alone(declaration: Declaration, distribution: Distribution | None) -> None:
    for model in declaration.models.values():
        if model.distribution is not None:
            raise RuntimeError(f"{_FAILED}, servable has been declared as distributed servable")
        if model.language is not None:
            raise RuntimeError(f"{_FAILED}, servable has a language model already")
    if distribution is not None and declaration.models:
        raise RuntimeError(f"{_FAILED}, a distributed servable has no other model")
    if declaration.servable in declaration.models:
        raise RuntimeError(f"{_FAILED}, another model is called '{declaration.servable}'")


def _check_files(declaration: Declaration, files: Sequence[str]) -> None:
    used = {file for model in declaration.models.values() for file in model.files}
    for place, file in enumerate(files):
        if file in used or file in files[:place]:
            raise RuntimeError(f"{_FAILED}, model file '{file}' has already been used")


def _check_beside(declaration: Declaration, parameter: str, file: str) -> None:
    """A file of the servable; it may as well lie in the version folders, which are not known."""
    arguments.check_text(parameter, file)
    arguments.model_files_of(file)
    folder = declaration.folder
    if folder is None or (folder / file).is_file():
        return
    if not any(each.is_file() for each in folder.glob(f"*/{file}")):
        raise RuntimeError(
            f"{_FAILED}, {parameter} '{file}' does not exist in the folder of servable"
            f" '{declaration.servable}'"
        )


def _ids(parameter: str, value: int | Sequence[int]) -> tuple[int, ...]:
    ids = arguments.indices_of(parameter, value)
    for each in ids:
        arguments.check_count(parameter, each, at_least=0, at_most=_MOST_IDS - 1)
    return ids


def _adapters_of(
    declaration: Declaration, adapters: Mapping[str, int]
) -> tuple[tuple[str, int], ...]:
    if not isinstance(adapters, Mapping):
        raise RuntimeError(f"Parameter 'adapters' should be dict, but actually {type(adapters)}")
    for name, number in adapters.items():
        arguments.check_text("adapters", name)
        arguments.check_count(f"adapters['{name}']", number, at_least=1)
        if name == declaration.servable:
            raise RuntimeError(f"{_FAILED}, adapter '{name}' has the name of the servable")
    return tuple(adapters.items())


def _rules_of(rules: Mapping[str, int | None], slots: int) -> tuple[tuple[str, int], ...]:
    said = {name: value for name, value in rules.items() if value is not None}
    for name, value in said.items():
        if name in _SWITCHES:
            arguments.check_flag(name, value)
        else:
            arguments.check_count(name, value, at_least=_RULES[name])
    budget = said.get("token_budget")
    if budget is not None and budget <= slots:
        raise RuntimeError(
            f"Parameter 'token_budget' should be > 'slots' {slots}, so that prompts are computed"
            f" while every slot decodes, but actually {budget}"
        )
    return tuple(said.items())
