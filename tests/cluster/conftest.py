import pytest

from tests.support.cluster import Cluster


@pytest.fixture(params=["grpcio", "native"])
async def cluster(tmp_path, request):
    async with Cluster(tmp_path, request.param) as cluster:
        yield cluster
