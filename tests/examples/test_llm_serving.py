"""Scripts of MindSpore's llm-serving, as its users have them, on the example's language model."""

import functools
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from itertools import takewhile

import pytest
from tokenizers import Tokenizer

from examples.llm.buckets import DEFAULT
from examples.llm.numpy_net import NumpyNet
from examples.llm.plain_loop import recomputed
from examples.llm.train_tokenizer import TOKENIZER
from mindspore_serving.client import MindsporeInferenceClient, ServingRequestError
from shared.declaration import load_servable
from tests.support.examples import MARKS, ROOT, SECONDS
from tests.support.scripts import RunningScript, run_script, wait_until
from tests.support.three_scripts import ports_in_a_row

pytestmark = [*MARKS, pytest.mark.timeout(600)]

EXAMPLE = ROOT / "examples" / "llm_serving"
PROMPTS = ["The module provides", "Raises ValueError if"]
NEW = 12
# As the article prints it, but for what its page made of it; behind its imports the example's own.
START_AGENT = """
from agent.agent_multi_post_method import *
from multiprocessing import Queue

from config.serving_config import AgentConfig, ModelName

if""" + (EXAMPLE / "start_agent.py").read_text().partition("\nif")[2]
AGENT = "from mindspore_serving.agent.agent_multi_post_method import *\n"
SERVER_APP = """
from mindspore_serving.server import server_app_post

server_app_post.init_server_app()
server_app_post.run_server_app()
"""
MODULE_SERVER = """
import runpy
import sys

runpy.run_module("mindspore_serving.server.server_app_post", run_name="__main__")
"""


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    command = ["-m", "examples.llm.export", "--output", str(folder), "--buckets"]
    subprocess.run([sys.executable, *command, "4x16x96", "4x1x96"], check=True, cwd=ROOT)
    return folder


@pytest.fixture
def folder(tmp_path, graphs):
    """A user's folder: config/ is that of the example, for smaller graphs and free ports."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    agents, server = ports_in_a_row(2), ports_in_a_row(1)
    for path in (tmp_path / "config" / "serving_config.py", tmp_path / "docstrings.yaml"):
        text = path.read_text()
        text = re.sub(r"(prefill_model\w*(?: =|:)) \[\[.*\]\]", r'\1 [["PREFILL"]]', text)
        text = re.sub(r"(decode_model\w*(?: =|:)) \[(?s:.*?\])\s*\]", r'\1 [["DECODE"]]', text)
        for old, new in (
            ("PREFILL", f"{graphs}/prefill_4x16x96.mindir"),
            ("DECODE", f"{graphs}/decode_4x1x96.mindir"),
            ("examples/llm/docstrings/1", str(graphs)),
            ("examples/llm/tokenizer.json", str(TOKENIZER)),
            ("9820", str(agents)),
            ("9811", str(server)),
            ("256", "96"),
            ("[1, 8, 16]", "[4]"),
        ):
            assert old in text, old
            text = text.replace(old, new)
        path.write_text(text)
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "agent_multi_post_method.py").write_text(AGENT)
    return tmp_path, f"http://127.0.0.1:{server}"


@contextmanager
def serving(folder, start_agent=START_AGENT, server_app=SERVER_APP, *arguments):
    """Agents, then the server app, each a script of its own."""
    with RunningScript(folder, start_agent, *arguments, name="start_agent.py") as agents:
        agents.until("all agents started")
        with RunningScript(folder, server_app, *arguments, name="server_app.py") as server:
            server.until("Uvicorn running on")
            yield agents, server


@functools.cache
def continued(prompt, new=NEW):
    """The text of a plain loop, which computes everything again for each token."""
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    tokens = recomputed(NumpyNet().logits, tokenizer.encode(prompt).ids, new, length=64)
    return tokenizer.decode(list(takewhile(lambda token: token not in (0, 2), tokens)))


def test_the_scripts_of_the_article_serve_the_text_of_a_plain_loop(folder):
    folder, url = folder
    with serving(folder) as (agents, server):
        assert agents.said[-2:] == ["agent : 0.000000 started", "all agents started"]
        client = MindsporeInferenceClient("llama2", url)
        for prompt in PROMPTS:
            whole = client.generate(prompt, max_new_tokens=NEW)
            assert whole.generated_text == continued(prompt)
            streamed = list(client.generate_stream(prompt, do_sample=False, max_new_tokens=NEW))
            assert "".join(each.token.text for each in streamed[:-1]) == whole.generated_text
            assert streamed[-1].generated_text == whole.generated_text
        with pytest.raises(ServingRequestError, match="internlm"):
            MindsporeInferenceClient("internlm", url).generate("Hello")
        with urllib.request.urlopen(f"{url}/serving/get_bs", timeout=SECONDS) as answer:
            assert json.loads(answer.read().decode().removeprefix("data:"))["data"] == 4
        # Nobody has to start the scripts again when an agent, or the other script, ends.
        (agent,) = [each for each in agents.children() if "services.agent" in each.cmdline()]
        agent.kill()
        agents.until("ended (SIGKILL) and was started again")
        wait_until(lambda: is_right(client), seconds=SECONDS, what=agents.logs)
        server.process.terminate()
        server.process.wait(SECONDS)
        with RunningScript(folder, example("server_app_post.py"), name="server_app.py") as again:
            again.until("Uvicorn running on")
            assert is_right(client)
            agents.process.terminate()
            agents.process.wait(SECONDS)
            with pytest.raises(ServingRequestError, match="no worker serves it now"):
                client.generate(PROMPTS[0])
            with RunningScript(folder, example("start_agent.py"), name="start_agent.py") as back:
                back.until("all agents started")
                wait_until(lambda: is_right(client), seconds=SECONDS, what=back.logs)
                ran = run_script(folder, example("serving_client.py"), "--server", url)
                whole, _, streamed = ran.stdout.partition("---\n")
                assert whole == continued("The module provides", 24) + "\n", ran.stderr
                assert streamed == continued("Return a new string", 24) + "\n"
    # What was made of the configuration can be read, and served without it.
    made = (folder / "serving_logs" / "servables" / "llama2" / "servable_config.py").read_text()
    assert "    decode_model=['decode_4x1x96.mindir'],\n" in made
    assert "    slots=4,\n" in made


def example(name):
    return (EXAMPLE / name).read_text()


def is_right(client):
    """Whether a client is answered, which then has to be right."""
    try:
        text = client.generate(PROMPTS[0], max_new_tokens=NEW).generated_text
    except (ServingRequestError, OSError):
        return False
    assert text == continued(PROMPTS[0])
    return True


def test_the_examples_name_the_graphs_that_are_exported_by_default(tmp_path):
    shutil.copytree(ROOT / "examples" / "llm" / "docstrings", tmp_path / "docstrings",
                    ignore=shutil.ignore_patterns("1"))  # fmt: skip
    (tmp_path / "docstrings" / "tokenizer.json").write_text("{}")
    model = load_servable(tmp_path, "docstrings").language_model
    names = [each.file_name for each in DEFAULT]
    assert list(model.files) == names
    for file in ("config/serving_config.py", "docstrings.yaml"):
        assert re.findall(r"(?:prefill|decode)_\w+\.mindir", (EXAMPLE / file).read_text()) == names


def test_a_yaml_file_serves_the_same(folder):
    folder, url = folder
    with serving(
        folder, example("start_agent_yaml.py"), MODULE_SERVER, "--config", "docstrings.yaml"
    ):
        answer = MindsporeInferenceClient("llama2", url).generate(PROMPTS[0], max_new_tokens=NEW)
    assert answer.generated_text == continued(PROMPTS[0])
    made = (folder / "serving_logs" / "servables" / "llama2" / "servable_config.py").read_text()
    assert "    blocks=96,\n" in made


def test_two_agents_are_two_ranks_which_serve_the_same(folder, tmp_path_factory):
    folder, url = folder
    ranks = tmp_path_factory.mktemp("ranks")
    command = ["-m", "examples.llm.export_ranks", "--ranks", "2", "--output", str(ranks)]
    subprocess.run(
        [sys.executable, *command, "--buckets", "4x16x96", "4x1x96"], check=True, cwd=ROOT
    )
    first = ports_in_a_row(3)
    with (folder / "config" / "serving_config.py").open("a") as config:
        for name in ("prefill_4x16x96", "decode_4x1x96"):
            models = [f"{ranks}/rank{rank}/{name}.mindir" for rank in range(2)]
            config.write(f"AgentConfig.{name.partition('_')[0]}_model = {models}\n")
        config.write(f"AgentConfig.AgentPorts = {[first, first + 1]}\n")
    with serving(folder) as (agents, _):
        assert "agent : 1.000000 started" in agents.said
        answer = MindsporeInferenceClient("llama2", url).generate(PROMPTS[0], max_new_tokens=NEW)
    assert answer.generated_text == continued(PROMPTS[0])


def test_graphs_that_do_not_fit_end_the_script_with_the_reason(folder):
    folder, _ = folder
    config = folder / "config" / "serving_config.py"
    config.write_text(config.read_text().replace("[4]", "[5]"))
    ended = run_script(folder, START_AGENT, name="start_agent.py")
    assert ended.returncode == 1
    assert "RuntimeError: Fail to start agents" in ended.stderr
    assert "5" in ended.stderr.splitlines()[-1], ended.stderr


def test_a_server_app_without_agents_says_what_it_misses(folder, monkeypatch):
    folder, _ = folder
    script = SERVER_APP.replace("init_server_app()", "init_server_app(wait_agents_seconds=2)")
    ended = run_script(folder, script, name="server_app.py")
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("RuntimeError: Fail to start the server app at 127.0.0.1:")
    assert "no agents of 'llama2' came to 127.0.0.1:" in last
