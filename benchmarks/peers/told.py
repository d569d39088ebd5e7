"""What the servers in ``servers/`` are told, in environment variables."""

import json

from benchmarks.mindir.models import MINDSPORE, environment_for
from benchmarks.peers.environment import ROOT
from benchmarks.works import Work

SERVERS = ROOT / "benchmarks" / "peers" / "servers"


def described_for_servers(work: Work) -> dict[str, str]:
    """The work, where our modules lie, and for a model where MindSpore and its file lie."""
    folders = [str(SERVERS), *([str(MINDSPORE.packages)] if work.model else [])]
    return {
        "BENCH_WORK": json.dumps(work.described()),
        "PYTHONPATH": ":".join(folders),
        **environment_for(work),
    }
