"""What the documents print, as a reader types it."""

import shutil
import subprocess
import sys

import pytest

from mindspore_serving import server
from shared.declaration import load_servable
from tests.support.examples import ROOT, blocks
from tests.support.scripts import run_script

PRELUDE = """
from mindspore_serving.server import register
model = register.declare_model(model_file="other.mindir", model_format="MindIR")
"""
METHOD = """
@register.register_method(output_names=["y"])
def method(x):
    return register.add_stage(generate, x, outputs_count=1)
"""


def declarations():
    return [each for each in blocks("docs/servables.md", "python") if "server." not in each]


@pytest.fixture
def modules(monkeypatch):
    """What a test imports is forgotten after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [each for each in sys.modules if each.partition(".")[0] == "page"]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize("block", declarations())
def test_what_the_page_on_servables_declares_can_be_declared(block, tmp_path, modules):
    text = block if "import register" in block else PRELUDE + block
    (tmp_path / "page").mkdir()
    config = text if "@register" in text else text + _method_for(block)
    (tmp_path / "page" / "servable_config.py").write_text(config)
    servable = load_servable(tmp_path, "page")
    assert servable.methods


def test_what_the_page_on_generation_declares_can_be_declared(tmp_path, modules):
    (block,) = (each for each in blocks("docs/generation.md", "python") if "register" in each)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "servable_config.py").write_text(block)
    (tmp_path / "page" / "tokenizer.json").write_text("{}")
    assert load_servable(tmp_path, "page").language_model


def _method_for(block):
    """A method around a function that the page shows, or around the model it declares."""
    return METHOD if "def generate" in block else METHOD.replace("generate", "model")


def test_what_the_page_on_servables_starts_can_be_started():
    starts = [each for each in blocks("docs/servables.md", "python") if "server." in each]
    assert starts
    for block in starts:
        exec(block, {"server": server, "key": b"k" * 16})


@pytest.mark.mindspore
@pytest.mark.timeout(300)
def test_the_readme_works_as_it_stands(tmp_path):
    config, serve, call = blocks("README.md", "python")
    (curl,) = (each for each in blocks("README.md", "") if each.startswith("curl"))
    servables = tmp_path / "servables"
    (servables / "tensor_add").mkdir(parents=True)
    (servables / "tensor_add" / "servable_config.py").write_text(config)
    exporter = ROOT / "examples" / "tensor_add" / "export_model" / "add_model.py"
    subprocess.run([sys.executable, exporter, servables], check=True)
    assert shutil.which("curl")
    lines = [serve, 'server.start_restful_server("127.0.0.1:1500")', call]
    lines += ["import subprocess", f"subprocess.run({curl!r}, shell=True, check=True)"]
    lines += ["server.stop()", ""]
    script = "\n".join(lines).replace("5500", "PORT").replace("1500", "PORT2")
    done = run_script(tmp_path, script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[{'y': array([[2., 2.],\n       [2., 2.]], dtype=float32)}]" in done.stdout
    assert '{"instances":[{"y":[[2.0,2.0],[2.0,2.0]]}]}' in done.stdout
