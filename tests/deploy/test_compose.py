"""The image and docker-compose.yml on a real engine, with the reference backend."""

import json
import sys
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import numpy as np
import pytest
import yaml

from protos.ms_service import ms_service_pb2 as pb
from services.agent.settings import AgentSettings
from services.master.settings import MasterSettings
from services.worker.settings import WorkerSettings
from tests.deploy.deployment import COMPOSE_FILE, SERVICES, Deployment, exit_codes, moments
from tests.deploy.engine import NotToBeHad, open_engine, run
from tests.deploy.image import built
from tests.support.cluster import add_servable, outputs
from tests.support.distributed import add_distributed
from tests.support.scripts import wait_until

SETTINGS = {"master": MasterSettings, "worker": WorkerSettings, "agent": AgentSettings}

on_docker = [pytest.mark.docker, pytest.mark.timeout(600)]

# What a container must not be able to do, as a program that runs inside it.
_TRY_TO_HARM = """
import os, pathlib
print(os.getuid())
for place in ("/harm", "/opt/mindserve/harm", "/servables/harm", "/tmp/harmless"):
    try:
        pathlib.Path(place).touch()
        print(place, "written")
    except OSError as refusal:
        print(place, refusal.strerror)
"""


@pytest.fixture(scope="module")
def docker(pytestconfig):
    """An engine, and the image in it."""
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")

    def say(line):
        # Standard output is not this process's own when several run tests.
        with capture.global_and_fixture_disabled():
            print(f"\ndeploy: {line}", end="", file=sys.stderr, flush=True)

    with ExitStack() as stack:
        try:
            engine = stack.enter_context(open_engine(say))
            yield engine, stack.enter_context(built(engine))
        except NotToBeHad as reason:
            say(f"skipped: {reason}")
            pytest.skip(str(reason))


@pytest.fixture(scope="module")
def brought_up(docker, tmp_path_factory):
    """The deployment, and what happened while it came up."""
    servables = tmp_path_factory.mktemp("servables")
    servables.chmod(0o755)
    add_servable(servables)
    add_servable(servables, "slow", latency_seconds=3.0)
    deployment = Deployment(*docker, servables)
    try:
        yield deployment, deployment.up()
    finally:
        deployment.down()


@pytest.fixture
def distributed(docker, tmp_path):
    """Two agents that are the ranks of one model."""
    servables = tmp_path / "servables"
    servables.mkdir()
    add_distributed(servables, rank_size=2, stage_size=2)
    base = Path(tempfile.gettempdir())
    for folder in (tmp_path, *tmp_path.parents):
        if base in folder.parents:
            folder.chmod(0o755)
    more = COMPOSE_FILE.with_suffix(".distributed.yml")
    variables = {"MODEL": str(tmp_path / "model"), "MODEL_FILE": "model.json"}
    deployment = Deployment(*docker, servables, more, variables=variables)
    try:
        deployment.up()
        yield deployment
    finally:
        deployment.down()


@pytest.fixture
def deployment(brought_up):
    deployment, _ = brought_up
    deployment.up()
    return deployment


class TestOnDocker:
    pytestmark = on_docker

    def test_services_start_when_what_they_need_is_healthy(self, brought_up):
        _, events = brought_up
        started, healthy = moments(events, "start"), moments(events, "health_status: healthy")
        assert set(started) == set(SERVICES)
        assert healthy["master"] < started["worker"]
        assert healthy["worker"] < min(started["agent-0"], started["agent-1"])

    def test_a_client_on_the_host_is_answered_through_the_published_port(self, deployment):
        until_answered(deployment)
        assert predict(deployment, [1, 2], [3, 4]) == [[2, 4], [6, 8]]

    def test_a_client_with_json_is_answered_at_the_other_port(self, deployment):
        until_answered(deployment)
        asked = urllib.request.Request(
            f"http://127.0.0.1:{deployment.rest_port}/model/toy:predict",
            json.dumps({"instances": {"x1": [1.5, 2.5]}}).encode(),
        )
        with urllib.request.urlopen(asked, timeout=20) as answer:
            assert json.load(answer) == {"instances": [{"y": [3.0, 5.0]}]}

    @pytest.mark.parametrize("service", SERVICES)
    def test_a_container_runs_without_rights(self, deployment, service):
        user, *attempts = deployment.execute(service, _TRY_TO_HARM).splitlines()
        assert user == "10001"
        refused = "Read-only file system"
        mounted = "No such file or directory" if service == "master" else refused
        assert attempts == [
            f"/harm {refused}",
            f"/opt/mindserve/harm {refused}",
            f"/servables/harm {mounted}",
            "/tmp/harmless written",
        ]

    def test_an_agent_whose_process_is_killed_comes_back_and_serves(self, deployment):
        until_answered(deployment)
        deployment.kill_main_process("agent-0")
        deployment.healthy("agent-0", restarts=1)
        # With its neighbour gone, the one that came back must answer.
        deployment.stop("agent-1")
        until_answered(deployment)
        assert predict(deployment, [5, 6]) == [[10, 12]]
        deployment.start("agent-1")

    def test_down_lets_every_service_finish_what_it_accepted(self, deployment):
        until_answered(deployment, "slow")
        with ThreadPoolExecutor() as callers:
            call = callers.submit(predict, deployment, [7, 8], servable="slow")
            codes = exit_codes(deployment.down())
            assert call.result() == [[14, 16]]
        assert codes == dict.fromkeys(SERVICES, 0)


class TestDistributedOnDocker:
    pytestmark = on_docker

    def test_ranks_in_containers_answer_as_one_model_and_come_back_together(self, distributed):
        until_answered(distributed, expected=[4, 8])
        assert predict(distributed, [1, 2], [3, 4]) == [[4, 8], [12, 16]]
        distributed.kill_main_process("agent-1")
        distributed.healthy("agent-1", restarts=1)
        until_answered(distributed, expected=[4, 8])


@pytest.mark.parametrize("file", sorted(COMPOSE_FILE.parent.glob("*.yml")), ids=lambda f: f.name)
def test_compose_files_are_what_compose_v2_reads_too(file):
    run(
        sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec",
        file, seconds=60,
    )  # fmt: skip


def test_with_tls_every_service_and_probe_has_its_files():
    """Settings that name what the service knows, and nothing that compose would add twice."""
    plain, tls = (
        yaml.safe_load(file.read_text())["services"]
        for file in (COMPOSE_FILE, COMPOSE_FILE.with_suffix(".tls.yml"))
    )
    assert set(tls) == set(plain) == set(SERVICES)
    for name, service in tls.items():
        kind = name.partition("-")[0]
        known = SETTINGS[kind].model_fields
        prefix = f"MINDSERVE_{kind.upper()}_"
        options = {each.removeprefix(prefix).lower() for each in service["environment"]}
        assert options == {each for each in known if each.startswith("peer_tls_")}


def predict(deployment, *rows, servable="toy"):
    """What the servable answers to these rows, asked on the published port."""
    request = pb.PredictRequest(servable_spec=pb.ServableSpec(name=servable, method_name="predict"))
    for row in rows:
        array = np.asarray(row, np.float32)
        tensor = request.instances.add().items["x1"]
        tensor.dtype = pb.MS_FLOAT32
        tensor.shape.dims.extend(array.shape)
        tensor.data = array.tobytes()
    with grpc.insecure_channel(f"127.0.0.1:{deployment.port}") as channel:
        call = channel.unary_unary(
            "/mindspore.serving.proto.MSService/Predict",
            request_serializer=pb.PredictRequest.SerializeToString,
            response_deserializer=pb.PredictReply.FromString,
        )
        return outputs(call(request, timeout=20))


def until_answered(deployment, servable="toy", expected=(2, 4)):
    def answered():
        try:
            return predict(deployment, [1, 2], servable=servable) == [list(expected)]
        except (grpc.RpcError, AssertionError):
            return False

    with deployment.explained():
        wait_until(answered, seconds=60, what="an answer")
