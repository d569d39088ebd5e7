"""What an agent can be told of its rank."""

from pathlib import Path

import pytest

from services.agent.settings import AgentSettings
from shared.settings import SettingsError, read


def test_paths_may_hold_commas_and_spaces():
    files = '["/a, b/0.mindir", "c d.mindir"]'
    told = read(AgentSettings, ["--rank", "3", "--model-files", files])
    assert (told.rank, told.model_files) == (3, (Path("/a, b/0.mindir"), Path("c d.mindir")))
    told = read(AgentSettings, ["--rank", "0", "--model-files", "/a, b/0.mindir"])
    assert (told.rank, told.model_files) == (0, (Path("/a, b/0.mindir"),))


def test_environment_and_file_name_paths_the_same_way(tmp_path, monkeypatch):
    monkeypatch.setenv("MINDSERVE_AGENT_MODEL_FILES", '["a,b", "c"]')
    config = tmp_path / "mindserve.toml"
    config.write_text('[agent]\nrank = 1\ngroup_config_files = ["g 1.pb", "g,2.pb"]\n')
    told = read(AgentSettings, ["--config", str(config)])
    assert told.model_files == (Path("a,b"), Path("c"))
    assert told.group_config_files == (Path("g 1.pb"), Path("g,2.pb"))


def test_an_agent_without_rank_has_no_files():
    assert (read(AgentSettings, []).rank, read(AgentSettings, []).model_files) == (None, ())


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--rank", "1"], "a rank needs model_files"),
        (["--model-files", "a"], "of no use without a rank"),
        (["--group-config-files", "a"], "of no use without a rank"),
        (["--rank", "-1", "--model-files", "a"], "rank: .*greater than or equal to 0"),
        (["--rank", "1", "--model-files", "[a"], r'expected one path, or several as \["PATH"'),
        (["--rank", "1", "--model-files", "[3]"], "model_files"),
        (
            ["--rank", "1", "--model-files", "a", "--generation-role", "decode"],
            "a rank does both: generation_role",
        ),
        (["--generation-role", "prefil"], "generation_role: .*'both', 'prefill' or 'decode'"),
    ],
)
def test_what_does_not_fit_together_is_named(arguments, reason):
    with pytest.raises(SettingsError, match=reason):
        read(AgentSettings, arguments)
