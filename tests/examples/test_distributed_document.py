"""What the page on distributed models prints is what the services understand."""

import ast
import inspect
import re
import shlex

import pytest

from mindspore_serving.server import distributed
from services.agent.settings import AgentSettings
from services.worker.settings import WorkerSettings
from shared.declaration import load_servable
from shared.rank_table import read_rank_table
from shared.servable import Distribution
from tests.support.examples import ROOT, blocks

PAGE = "docs/distributed.md"


def test_the_declaration_can_be_declared(tmp_path):
    declaration = blocks(PAGE, "python")[0]
    (tmp_path / "matmul").mkdir()
    (tmp_path / "matmul" / "servable_config.py").write_text(declaration)
    distribution = load_servable(tmp_path, "matmul").distribution
    assert distribution is not None
    assert distribution.rank_size == 8


def test_the_language_model_can_be_declared(tmp_path):
    (declaration,) = (each for each in blocks(PAGE, "python") if "declare_language_model" in each)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "servable_config.py").write_text(declaration)
    (tmp_path / "tiny" / "tokenizer.json").write_text("{}")
    servable = load_servable(tmp_path, "tiny")
    assert servable.language_model is not None
    assert servable.distribution == Distribution(2)


def test_the_scripts_call_what_there_is_with_parameters_that_it_has():
    calls = {"start_servable", "startup_agents"}
    for script in blocks(PAGE, "python")[1:]:
        for node in ast.walk(ast.parse(script)):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in calls:
                given = [None] * len(node.args), {each.arg: None for each in node.keywords}
                name = node.func.attr
                inspect.signature(getattr(distributed, name)).bind(*given[0], **given[1])
                calls.remove(name)
    assert not calls


@pytest.mark.parametrize("number", [0, 1])
def test_the_rank_tables_can_be_read(number):
    places = read_rank_table(blocks(PAGE, "json")[number], "rank_table.json")
    assert {place.ip for place in places} == {"10.0.0.1", "10.0.0.2"}


def test_the_commands_have_the_options_that_the_services_have():
    (commands,) = (each for each in blocks(PAGE, "") if "services.worker" in each)
    settings = {"worker": WorkerSettings, "agent": AgentSettings}
    for line in commands.splitlines():
        words = shlex.split(line)
        fields = settings[words[2].partition(".")[2]].model_fields
        options = [word[2:].replace("-", "_") for word in words if word.startswith("--")]
        assert options
        assert set(options) <= fields.keys()


def test_the_settings_in_its_tables_are_settings():
    text = (ROOT / PAGE).read_text()
    known = {*WorkerSettings.model_fields, *AgentSettings.model_fields}
    options = re.findall(r"`--([a-z-]+)", text)
    assert {each.replace("-", "_") for each in options} <= known
