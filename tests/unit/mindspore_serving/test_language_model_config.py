"""Configurations of MindSpore's llm-serving: what is taken, what is refused, what is in vain."""

import copy
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindspore_serving.agent.agent_multi_post_method import startup_agents
from mindspore_serving.agent.servable_folder import files_of_rank, write_servable
from mindspore_serving.config.config import ServingConfig, check_valid_config
from mindspore_serving.config.fields import FIELDS, warnings_of
from mindspore_serving.config.language_model import LanguageModelConfig
from shared.addresses import HostPort

MIGRATING = Path(__file__).parents[3] / "docs" / "migrating.md"


@pytest.fixture
def files(tmp_path):
    for name in ("prefill", "decode", "argmax", "topk"):
        (tmp_path / f"{name}.mindir").write_bytes(b"")
    for name in ("tokenizer.json", "generation_config.json", "tokenizer.model"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def parts(files, **more):
    """The sections of a YAML file."""
    sections = {
        "model_path": {
            "prefill_model": [f"{files}/prefill.mindir"],
            "decode_model": [f"{files}/decode.mindir"],
            "argmax_model": f"{files}/argmax.mindir",
            "topk_model": f"{files}/topk.mindir",
            "prefill_ini": ["/none.ini"], "decode_ini": ["/none.ini"], "post_model_ini": "/none",
        },
        "model_config": {
            "model_name": "llama_dyn", "max_generate_length": 4096, "end_token": 2,
            "seq_length": [512, 1024], "vocab_size": 32000, "prefill_batch_size": [4],
            "decode_batch_size": [1, 8, 16],
        },
        "serving_config": {"agent_ports": [9820], "server_port": 9811, "start_device_id": 6},
        "tokenizer": {"type": "LlamaTokenizer", "vocab_file": f"{files}/tokenizer.model"},
    }  # fmt: skip
    for name, value in more.items():
        section, _, key = name.partition("__")
        sections.setdefault(section, {})[key] = value
    return sections


def module(files, **more):
    """``serving_config.py``, with sections of attributes."""
    sections = {
        "AgentConfig": {
            "ctx_setting": "/none.ini", "inc_setting": ["/none.ini"],
            "post_model_setting": "/none.ini",
            "prefill_model": [f"{files}/prefill.mindir"],
            "decode_model": [f"{files}/decode.mindir"],
            "argmax_model": [f"{files}/argmax.mindir"], "topk_model": [f"{files}/topk.mindir"],
            "AgentPorts": [9820], "device_start": 6, "enable_host_post_sampling": False,
        },
        "Baseconfig": {
            "max_generate_length": 4096, "end_token": 2, "seq_length": [512, 1024],
            "batch_size": 8, "dyn_batch_size": [1, 8, 16], "prefill_batch_size": 4,
            "tokenizer_path": f"{files}/tokenizer.model", "tokenizer": "LlamaTokenizer",
            "top_p": 1.0,
        },
    }  # fmt: skip
    top = {
        "AgentIP": "localhost", "ModelName": "llama_dyn",
        "SERVER_APP_HOST": "localhost", "SERVER_APP_PORT": 9811,
    }  # fmt: skip
    for name, value in more.items():
        section, key = name.split("__") if "__" in name else (None, name)
        (top if section is None else sections.setdefault(section, {}))[key] = value
    read = {name: SimpleNamespace(**each) for name, each in sections.items()}
    return SimpleNamespace(**top, **read)


def test_both_kinds_say_the_same(files):
    of_yaml = LanguageModelConfig.of_yaml(parts(files))
    assert of_yaml == LanguageModelConfig.of_module(module(files))
    assert of_yaml == LanguageModelConfig(
        name="llama2",
        prefill=((f"{files}/prefill.mindir",),),
        decode=((f"{files}/decode.mindir",),),
        tokenizer=f"{files}/tokenizer.json",
        argmax=f"{files}/argmax.mindir",
        topk=f"{files}/topk.mindir",
        agents=(HostPort("127.0.0.1", 9820),),
        first_device=6,
        server=HostPort("127.0.0.1", 9811),
        membership=HostPort("127.0.0.1", 9821),
        declared={
            "eos_ids": [2], "max_model_len": 4096, "slots": 16, "continuous": True,
            "device_post_sampling": True, "max_prefill_batch": 4,
        },
    )  # fmt: skip


def test_the_worker_finds_the_server_behind_the_agents_or_where_it_is_said(files):
    for more, port in (
        ({}, 9821), ({"serving_config__server_port": 9821}, 9822),
        ({"serving_config__membership_port": 7000}, 7000),
    ):  # fmt: skip
        membership = LanguageModelConfig.of_yaml(parts(files, **more)).membership
        assert membership == HostPort("127.0.0.1", port)


@pytest.mark.parametrize(
    ("more", "declared"),
    [
        ({"model_config__batching_strategy": "static"}, {"continuous": False}),
        ({"serving_config__enable_host_post_sampling": True}, {"device_post_sampling": False}),
        ({"model_config__end_token": [0, 2]}, {"eos_ids": [0, 2]}),
        ({"model_config__max_generate_length": None}, {"max_model_len": 1024}),
        (
            {"model_config__max_generate_length": None, "model_config__zactivate_len": [512, 2048]},
            {"max_model_len": 2048},
        ),
        (
            {"pa_config__num_blocks": 96, "pa_config__block_size": 8},
            {"blocks": 96, "block_size": 8},
        ),
        (
            {"pa_config__num_blocks": 96, "model_config__page_attention": False},
            {"blocks": None},
        ),
    ],
)
def test_what_a_field_becomes_in_the_declaration(files, more, declared):
    config = LanguageModelConfig.of_yaml(parts(files, **more))
    assert {name: config.declared.get(name) for name in declared} == declared


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"serving_config__agent_ports": []}, "serving_config.agent_ports: expected a list of"),
        ({"serving_config__agent_ports": [1, 1]}, "different ports 1-65535, one for each rank"),
        ({"serving_config__agent_ports": [1, 2]}, "expected a model for each of 2 serving_config."),
        ({"serving_config__agent_ports": [65535]}, "serving_config.membership_port: it is missing"),
        (
            {"serving_config__server_port": "9811"},
            "server_port: expected an integer 1-65535, got '",
        ),
        ({"serving_config__server_port": 9820}, "server_port: expected none of serving_config."),
        ({"serving_config__membership_port": 9811}, "membership_port: expected a port that nobody"),
        ({"serving_config__server_port": None}, "serving_config.server_port: it is missing"),
        ({"serving_config__start_device_id": -1}, "expected an integer of at least 0, got -1"),
        ({"serving_config__enable_host_post_sampling": "no"}, "expected True or False, got 'no'"),
        ({"model_config__end_token": "2"}, "expected an integer of at least 0, or a list of them"),
        ({"model_config__decode_batch_size": [0]}, "decode_batch_size: expected an integer of at"),
        (
            {"model_config__decode_batch_size": None},
            "model_config.decode_batch_size: it is missing",
        ),
        ({"model_config__batching_strategy": "x"}, "expected 'continuous' or 'static', got 'x'"),
        ({"model_config__backend": "kbk"}, "model_config.backend: expected 'ge', got 'kbk'"),
        ({"model_config__model_name": ""}, "model_name: expected a text that is not empty, got ''"),
        (
            {"model_config__max_generate_length": 1},
            "max_generate_length: expected an integer of at",
        ),
        ({"model_path__prefill_model": 3}, "prefill_model: expected a list with a path for each"),
        (
            {"model_path__prefill_model": [[]]},
            "prefill_model: expected a list with a path for each",
        ),
        ({"model_path__decode_model": ["/none"]}, "decode_model: expected a file that can be"),
        ({"model_path__argmax_model": []}, "argmax_model: expected a path, or a list with one"),
        (
            {"tokenizer__vocab_file": "/none/x.model"},
            "expected a tokenizer.json, a folder with one",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_name(files, capsys, more, text):
    config = parts(files, **more)
    with pytest.raises(RuntimeError, match=re.escape(text)):
        LanguageModelConfig.of_yaml(config)
    assert not check_valid_config(config)
    said = capsys.readouterr().out
    assert said.startswith("ERROR: ")
    assert text in said


def test_the_module_names_its_own_fields(files):
    with pytest.raises(RuntimeError, match=r"^Baseconfig\.dyn_batch_size: expected an integer"):
        LanguageModelConfig.of_module(module(files, Baseconfig__dyn_batch_size=[0]))
    with pytest.raises(RuntimeError, match=r"^SERVER_APP_PORT: it is missing"):
        LanguageModelConfig.of_module(module(files, SERVER_APP_PORT=None))
    config = module(files, Baseconfig__dyn_batch_size=None)
    assert LanguageModelConfig.of_module(config).declared["slots"] == 8


def test_arguments_of_startup_agents_stand_before_the_module(files):
    (files / "other.mindir").write_bytes(b"")
    given = {"prefill_model": [f"{files}/other.mindir"]}
    config = LanguageModelConfig.of_module(module(files), given)
    assert config.prefill == ((f"{files}/other.mindir",),)
    assert LanguageModelConfig.of_module(module(files), {"topk_model": None}).topk is None
    with pytest.raises(RuntimeError, match=r"^Parameter 'prefill_model': expected a list"):
        LanguageModelConfig.of_module(module(files), {"prefill_model": None})


def test_what_is_in_vain_is_said_by_reason(files):
    config = parts(files, model_config__fastserve=True, model_config__batch_waiting_time=0.0)
    config["serving_config"]["server_prot"] = 1
    said = list(warnings_of(config, "yaml"))
    assert (
        "without effect (options of the engine of MindSpore Lite; graphs run on MindSpore):"
        " model_path.prefill_ini, model_path.decode_ini, model_path.post_model_ini"
    ) in said
    assert "without effect (the graphs say it themselves): model_config.vocab_size" in said
    assert said[-2].endswith("with priorities of requests): model_config.fastserve")
    assert said[-1] == (
        "nobody knows serving_config.server_prot, did you mean serving_config.server_port?"
    )
    assert len(said) == 5
    of_module = list(warnings_of(module(files, Baseconfig__bacth_size=1), "module"))
    assert (
        of_module[-1] == "nobody knows Baseconfig.bacth_size, did you mean Baseconfig.batch_size?"
    )


def test_every_field_is_documented():
    text = MIGRATING.read_text()
    places = {place for each in FIELDS for place in (each.in_module, each.in_yaml) if place}
    assert {each for each in places if f"`{each}`" not in text} == set()


def test_files_of_one_name_get_others_in_the_servable(files, tmp_path):
    for folder in ("one", "two"):
        (files / folder).mkdir()
        (files / folder / "rank_0_graph.mindir").write_bytes(folder.encode())
    more = {
        "model_path__prefill_model": [f"{files}/one/rank_0_graph.mindir"],
        "model_path__decode_model": [f"{files}/two/rank_0_graph.mindir"],
    }
    config = LanguageModelConfig.of_yaml(parts(files, **more))
    for _ in range(2):  # what was there before is replaced
        write_servable(config, tmp_path / "made")
    made = tmp_path / "made" / "llama2"
    assert (made / "1" / "rank_0_graph.mindir").read_bytes() == b"one"
    assert (made / "1" / "decode_0_rank_0_graph.mindir").read_bytes() == b"two"
    assert sorted(each.name for each in made.iterdir()) == [
        "1", "generation_config.json", "servable_config.py", "tokenizer.json",
    ]  # fmt: skip
    text = (made / "servable_config.py").read_text()
    assert "    decode_model=['decode_0_rank_0_graph.mindir'],\n" in text
    assert "    argmax_model='argmax.mindir',\n" in text
    compile(text, "servable_config.py", "exec")


def test_of_several_ranks_each_has_its_graphs(files, tmp_path):
    more = {
        "model_path__prefill_model": [f"{files}/prefill.mindir", f"{files}/argmax.mindir"],
        "model_path__decode_model": [f"{files}/decode.mindir", f"{files}/topk.mindir"],
        "serving_config__agent_ports": [9820, 9830],
    }
    config = LanguageModelConfig.of_yaml(parts(files, **more))
    assert config.agents == (HostPort("127.0.0.1", 9820), HostPort("127.0.0.1", 9830))
    assert config.membership == HostPort("127.0.0.1", 9831)
    assert files_of_rank(config, 1) == [
        f"{files}/{name}.mindir" for name in ("argmax", "topk", "argmax", "topk")
    ]
    write_servable(config, tmp_path)
    assert "    rank_size=2,\n" in (tmp_path / "llama2" / "servable_config.py").read_text()


def test_yaml_files_are_read_as_attributes(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("serving_config:\n    server_port: 9811\nwhat: 1\n")
    config = ServingConfig(str(file))
    assert (config.serving_config.server_port, config.what) == (9811, 1)
    assert config.nothing is None
    assert config.serving_config.nothing is None
    copied = copy.deepcopy(config)
    copied.serving_config.server_port = 1
    del copied.what
    assert (copied.what, config.serving_config.server_port) == (None, 9811)
    for content, said in (
        ("- 1", "expected sections"), ("a: [", "is no YAML"), (None, "Cannot read config file"),
    ):  # fmt: skip
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_text(content)
        with pytest.raises(RuntimeError, match=said):
            ServingConfig(str(file))


def test_startup_agents_refuses_what_is_no_queue_and_another_rank_size(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "config.serving_config", module(files))
    agents = module(files).AgentConfig
    arguments = (
        "", "", "", 2,
        agents.prefill_model, agents.decode_model, agents.argmax_model, agents.topk_model,
    )  # fmt: skip
    with pytest.raises(RuntimeError, match="'rank_size': expected 1, as many as AgentConfig"):
        startup_agents(*arguments, object())
    with pytest.raises(RuntimeError, match="'startup_queue': expected a queue with put"):
        startup_agents(ServingConfig() | parts(files), None)
