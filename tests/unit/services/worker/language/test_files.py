"""What lies beside a tokenizer is taken where nothing else was declared."""

import asyncio
import json
from dataclasses import replace

import pytest

from services.worker.language.files import load_language
from shared.errors import LoadFailed
from shared.servable import Generation
from shared.text_generation import Chat
from tests.support.language import bytes_tokenizer

DECLARED = Generation(64, 4)


@pytest.fixture
def folder(tmp_path):
    bytes_tokenizer(tmp_path)
    return tmp_path


def write(folder, name, value):
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))


def loaded(folder, declared=DECLARED, template=None):
    return load_language(declared, folder / "tokenizer.json", template)


def test_nothing_else_need_be_there(folder):
    language = loaded(folder)
    assert (language.template, language.eos_ids) == (None, frozenset())
    assert language.created == int((folder / "tokenizer.json").stat().st_mtime)


@pytest.mark.parametrize(("said", "ids"), [(5, {5}), ([5, 6], {5, 6}), ("x", {256}), (None, {256})])
def test_tokens_that_end_texts(folder, said, ids):
    write(folder, "tokenizer_config.json", {"eos_token": {"content": "<end>"}})
    write(folder, "generation_config.json", {"eos_token_id": said})
    assert loaded(folder).eos_ids == ids
    assert loaded(folder, replace(DECLARED, eos_ids=(9,))).eos_ids == {9}
    assert loaded(folder, replace(DECLARED, eos_ids=())).eos_ids == set()


async def test_templates_in_their_order(folder):
    async def text(template=None):
        language = await asyncio.to_thread(loaded, folder, template=template)
        return await language.template.render(Chat("[]"))

    several = [{"name": "tools", "template": "t"}, {"name": "default", "template": "config"}]
    write(folder, "tokenizer_config.json", {"chat_template": several})
    assert await text() == "config"
    write(folder, "chat_template.jinja", "beside")
    assert await text() == "beside"
    write(folder, "mine.jinja", "declared")
    assert await text(folder / "mine.jinja") == "declared"


def test_what_cannot_be_read_is_named(folder):
    with pytest.raises(LoadFailed, match=r"chat template 'none\.jinja'"):
        loaded(folder, template=folder / "none.jinja")
    write(folder, "tokenizer_config.json", "[]")
    with pytest.raises(LoadFailed, match=r"'tokenizer_config\.json': expected an object"):
        loaded(folder)
