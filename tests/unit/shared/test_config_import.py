"""How a servable_config.py is imported: by name, afresh, without getting in others' way."""

import asyncio
import json
import os
import sys
from contextvars import copy_context

import numpy as np
import pytest

from shared.declaration import load_servable
from shared.errors import LoadFailed

METHOD = """
@register.register_method("y")
def method(x):
    return register.add_stage(stage, x, outputs_count=1)
"""


def stage_of(servable):
    return servable.methods["method"].graph.stages[0].call.function


def refusal(servables, name="add"):
    with pytest.raises(LoadFailed) as failure:
        servables.load(name)
    return failure.value.message


def test_a_servable_needs_no_init_file(servables):
    servables.declare("def stage(x): return x" + METHOD)
    assert not (servables.path / "add" / "__init__.py").exists()


def test_an_init_file_is_run_first_when_there_is_one(servables):
    servables.write("add/__init__.py", "OFFSET = 5")
    servable = servables.declare("from add import OFFSET\ndef stage(x): return x + OFFSET" + METHOD)
    assert stage_of(servable)(1) == 6


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../add", "add/", "/add", "a.b", "a b", "a-b", "1a", "class", "add\n", "a\0"],
)
def test_a_name_that_is_no_identifier_never_becomes_a_path(servables, name):
    servables.write("add/servable_config.py", "raise SystemExit('imported')")
    assert refusal(servables, name) == (
        f"Servable name {name!r} is not a valid Python package name"
    )


@pytest.mark.parametrize("name", ["json", "numpy", "shared", "sys", "colorsys", "__main__"])
def test_a_servable_never_takes_the_name_of_another_module(servables, name):
    servables.write(f"{name}/servable_config.py", METHOD)
    assert refusal(servables, name) == (
        f"import {name}.servable_config failed, '{name}' is the name of another Python module that"
        " can be imported here; rename the servable"
    )
    assert (sys.modules["json"], sys.modules["numpy"]) == (json, np)


def test_a_missing_config_is_named(servables):
    servables.path.mkdir()
    assert refusal(servables) == (
        "import add.servable_config failed, servable 'add' has no servable_config.py"
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("x = 1 / 0", "ZeroDivisionError: division by zero (servable_config.py, line 2)"),
        (
            "import no_such_module",
            "ModuleNotFoundError: No module named 'no_such_module' (servable_config.py, line 2)",
        ),
        ("def f(:", "SyntaxError: invalid syntax (servable_config.py, line 2)"),
        ("raise SystemExit(3)", "SystemExit: 3 (servable_config.py, line 2)"),
        (
            "from add import helper",
            "ValueError: see weights.bin (helper.py, line 2)",
        ),
        (
            "from add.empty import nothing",
            "ImportError: cannot import name 'nothing' from 'add.empty' (add/empty.py)"
            " (servable_config.py, line 2)",
        ),
        (
            "open(__file__ + '.absent')",
            "FileNotFoundError: [Errno 2] No such file or directory:"
            " 'add/servable_config.py.absent' (servable_config.py, line 2)",
        ),
        (
            "raise ValueError('GET http://host/a/b, 3/4 / 2')",
            "ValueError: GET http://host/a/b, 3/4 / 2 (servable_config.py, line 2)",
        ),
    ],
)
def test_a_failing_config_is_named_with_its_cause_and_line_but_no_folder(servables, text, cause):
    servables.write("add/helper.py", "raise ValueError('see /srv/inner/weights.bin')")
    servables.write("add/empty.py", "")
    servables.write("add/servable_config.py", text)
    message = refusal(servables)
    assert message == f"import add.servable_config failed, {cause}"
    assert str(servables.path) not in message


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("raise ValueError('no file \\udcff')", "ValueError: no file \\udcff"),
        (
            "class Speechless(Exception):\n    def __str__(self):\n        return None\n"
            "raise Speechless",
            "Speechless: (its text cannot be had: TypeError)",
        ),
    ],
)
def test_a_config_fails_with_words_that_can_be_sent_on(servables, text, cause):
    servables.write("add/servable_config.py", text)
    assert cause in refusal(servables)
    refusal(servables).encode()


def test_two_servables_keep_their_own_helpers(servables):
    for name, sign in (("add", 1), ("sub", -1)):
        servables.write(f"{name}/helper.py", f"SIGN = {sign}")
        servables.write(
            f"{name}/servable_config.py",
            f"from {name} import helper\nfrom .helper import SIGN\n"
            "def stage(x): return x * helper.SIGN * SIGN * SIGN" + METHOD,
        )
    add, sub = servables.load("add"), servables.load("sub")
    assert (stage_of(add)(3), stage_of(sub)(3)) == (3, -3)


def test_a_stage_may_import_what_lies_beside_it_when_it_runs(servables):
    servables.write("common.py", "THREE = 3")
    servables.write("add/helper.py", "FOUR = 4")
    servable = servables.declare(
        "def stage(x):\n"
        "    import add.helper\n"
        "    from . import helper\n"
        "    from common import THREE\n"
        "    assert helper is add.helper\n"
        "    return x + helper.FOUR + THREE\n" + METHOD
    )
    servables.declare("def stage(x): return x" + METHOD, "other")
    assert stage_of(servable)(1) == 8


def test_the_directory_is_put_last_on_the_path_and_once(servables):
    before = list(sys.path)
    for _ in range(2):
        servables.declare("def stage(x): return x" + METHOD)
    assert sys.path == [*before, str(servables.path)]


def test_a_relative_directory_stays_importable_when_the_process_moves(servables, monkeypatch):
    servables.write("common.py", "FOUR = 4")
    servables.write(
        "add/servable_config.py",
        "def stage(x):\n    from common import FOUR\n    return FOUR" + METHOD,
    )
    monkeypatch.chdir(servables.path.parent)
    servable = load_servable(servables.path.relative_to(servables.path.parent), "add")
    monkeypatch.chdir("/")
    assert stage_of(servable)(0) == 4
    assert str(servables.path) in sys.path


def test_every_load_reads_the_files_as_they_are_now(servables, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for number in range(1, 4):
        # Same length and same time: what a bytecode cache would mistake for unchanged.
        servables.write("add/helper.py", f"NUMBER = {number}")
        servables.write(
            "add/servable_config.py",
            f"from .helper import NUMBER\ndef stage(x): return NUMBER, {number}" + METHOD,
        )
        for file in ("helper.py", "servable_config.py"):
            os.utime(servables.path / "add" / file, (1, 1))
        assert stage_of(servables.load("add"))(0) == (number, number)
    assert not (servables.path / "add" / "__pycache__").exists()


def test_one_name_in_two_directories_is_two_servables(servables, tmp_path):
    first = servables.declare("def stage(x): return 'first'" + METHOD)
    servables.path = tmp_path / "elsewhere"
    second = servables.declare("def stage(x): return 'second'" + METHOD)
    assert (stage_of(first)(0), stage_of(second)(0)) == ("first", "second")


def test_a_failed_load_leaves_the_servable_that_runs_alone(servables):
    servables.write("add/helper.py", "FOUR = 4")
    running = servables.declare(
        "def stage(x):\n    from . import helper\n    return helper.FOUR" + METHOD
    )
    loaded = sys.modules["add.servable_config"]
    servables.write("add/servable_config.py", "raise ValueError")
    assert "ValueError" in refusal(servables)
    assert sys.modules["add.servable_config"] is loaded
    assert stage_of(running)(0) == 4


def test_a_servable_whose_first_load_failed_can_be_mended(servables):
    servables.write("add/__init__.py", "")
    servables.write("add/servable_config.py", "raise ValueError")
    refusal(servables)
    assert "add" not in sys.modules
    assert servables.declare("def stage(x): return x" + METHOD).name == "add"


def test_a_servable_that_another_imported_first_can_still_be_loaded(servables):
    servables.write("add/helper.py", "FOUR = 4")
    servables.write("add/servable_config.py", "def stage(x): return x" + METHOD)
    servables.declare("from add.helper import FOUR\ndef stage(x): return FOUR" + METHOD, "first")
    assert stage_of(servables.load("add"))(3) == 3


async def test_threads_may_load_at_once_without_mixing_their_declarations(servables):
    names = [f"servable_{n}" for n in range(8)]
    for name in names:
        # The pause lets the others' declarations in, if they could come in.
        servables.write(
            f"{name}/servable_config.py",
            f"import time\nregister.declare_model('{name}', 'MindIR')\ntime.sleep(0.01)\n"
            f"def stage(x): return '{name}'" + METHOD,
        )
    loaded = await asyncio.gather(*(asyncio.to_thread(servables.load, name) for name in names))
    assert [each.name for each in loaded] == names
    assert [list(each.models) for each in loaded] == [[name] for name in names]
    assert [stage_of(each)(0) for each in loaded] == names


async def test_threads_may_load_one_servable_at_once(servables):
    # The pause lets the others begin to load while this one loads.
    servables.write(
        "add/servable_config.py",
        "import time\ntime.sleep(0.01)\ndef stage(x): return x" + METHOD,
    )
    loaded = await asyncio.gather(*(asyncio.to_thread(servables.load, "add") for _ in range(8)))
    assert len({stage_of(each) for each in loaded}) == 8


def test_what_is_declared_outside_of_a_load_belongs_to_no_servable(servables):
    servables.write("add/servable_config.py", "def stage(x): return x" + METHOD)
    code = compile("from mindspore_serving.server import register\n" + METHOD, "by hand", "exec")
    copy_context().run(exec, code, {"stage": abs})
    assert stage_of(servables.load("add")) is not abs
