import pytest

from tests.support.cluster import Cluster


@pytest.fixture
async def cluster(tmp_path):
    async with Cluster(tmp_path) as cluster:
        yield cluster
