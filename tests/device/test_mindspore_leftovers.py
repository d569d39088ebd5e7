"""What MindSpore leaves in its working directory: not where the agent, or the script, is."""

import numpy as np
import pytest

from shared.membership import ModelFiles
from tests.support.devices import held

pytestmark = pytest.mark.mindspore


@pytest.mark.parametrize(("saves_graphs", "leaves"), [("0", False), ("1", True)])
async def test_mindspore_leaves_nothing_where_the_agent_works(
    mindir, tmp_path, monkeypatch, saves_graphs, leaves
):
    """On a CPU it leaves nothing by itself; told to save its graphs, files where it works."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "agent").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path / "agent")
    monkeypatch.setenv("MS_DEV_SAVE_GRAPHS", saves_graphs)
    monkeypatch.delenv("MS_DEV_SAVE_GRAPHS_PATH", raising=False)
    files = ModelFiles("wave", "mindir", (str(mindir / "wave.mindir"),), True, (), 8)
    async with held(files) as device:
        await device.run("wave", np.ones((3, 5), np.float32))
        (folder,) = (tmp_path / "temporary").iterdir()
        # The lock is the agent's own.
        assert any(each.name != ".agent" for each in folder.iterdir()) is leaves
    assert not any((tmp_path / "agent").iterdir())
    assert not any((tmp_path / "temporary").iterdir())
