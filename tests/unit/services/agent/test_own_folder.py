"""The working directory of a device process: its own, and gone with it."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from services.agent.device.child import spawn
from tests.support.cluster import until

ROOT = Path(__file__).parents[4]


def folders(agent=None):
    """Where the device processes of an agent, or of this process, work, once they went there."""
    found = [
        Path(child.cwd())
        for child in psutil.Process(agent).children()
        if child.status() != psutil.STATUS_ZOMBIE and "services.agent.device" in child.cmdline()
    ]
    return {each for each in found if each.name.startswith("mindserve-device-")}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A place for temporary folders, and a working directory for the agent: this process."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "agent").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path / "agent")
    return tmp_path


async def test_each_device_process_works_in_a_folder_of_its_own_that_ends_with_it(elsewhere):
    async with spawn("AVX2"), spawn("AVX2"):
        await until(lambda: len(folders()) == 2, what="two device processes in their folders")
        for each in folders():
            assert each.parent == elsewhere / "temporary"
            assert each.stat().st_mode & 0o077 == 0
            (each / "kernel_meta").mkdir()
            (each / "kernel_meta" / "made").write_text("by a compiler")
    assert not any((elsewhere / "temporary").iterdir())
    assert not any((elsewhere / "agent").iterdir())


AGENT = """
import asyncio
import sys
from services.agent.device.child import spawn

async def main():
    async with spawn("AVX2"):
        print("spawned", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


async def test_the_folder_of_an_agent_that_was_killed_goes_with_the_next_start(elsewhere):
    def there():
        return set((elsewhere / "temporary").iterdir())

    async with spawn("AVX2"):
        ours = there()
        command = [sys.executable, "-c", AGENT]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as agent:
            try:
                assert agent.stdout.readline() == b"spawned\n"
                await until(lambda: folders(agent.pid), what="a device process in its folder")
            finally:
                agent.kill()
        (left,) = there() - ours
        async with spawn("AVX2"):
            assert ours < there()
            assert left not in there()
    assert there() == set()
