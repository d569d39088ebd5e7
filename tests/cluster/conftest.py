"""Clusters on the default wire; modules that name ``WIRES`` run on each of those."""

import pytest

from tests.support.cluster import Cluster


def pytest_generate_tests(metafunc):
    if "cluster" in metafunc.fixturenames:
        wires = getattr(metafunc.module, "WIRES", ["native"])
        metafunc.parametrize("cluster", wires, indirect=True)


@pytest.fixture
async def cluster(tmp_path, request):
    async with Cluster(tmp_path, request.param) as cluster:
        yield cluster
