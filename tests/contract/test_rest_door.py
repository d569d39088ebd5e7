"""The RESTful entrance of a master, before a worker that does what a test says."""

import asyncio
import gzip
import json
import shutil
import ssl
import subprocess
from contextlib import asynccontextmanager

import orjson
import psutil
import pytest
from structlog.testing import capture_logs

from protos.ms_service import ms_service_pb2 as pb
from protos.serving.v1 import dispatch_pb2
from services.master.app import open_master
from services.master.settings import MasterSettings
from shared.errors import AgentLost, Draining, Overloaded, StageFailed
from shared.membership import Hello, Offer, OfferedMethod, Offers
from shared.servable import ServableVersion
from shared.wire.exchange_server import serve_exchange
from shared.wire.interface import Routes
from shared.wire.membership import Membership
from shared.wire.native import NativeWire
from tests.support.certificates import make_certificates
from tests.support.cluster import until
from tests.support.http1 import Http, ask

CALL = "/model/toy:predict"
ONE = {"instances": {"x": [1.5, 2.5]}}
PREDICT = OfferedMethod(("x",), ("y",))


class Worker:
    """A member that echoes instances, fails, or waits until a test lets it go."""

    def __init__(self, master):
        self._master = master
        self.offers = Offers(
            (
                Offer(ServableVersion("toy", 1), {"predict": PREDICT}, 10),
                Offer(
                    ServableVersion("toy", 2), {"predict": PREDICT, "other": OfferedMethod()}, 10
                ),
            )
        )
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.failure = self.reply = None
        self.asked = 0
        self.cancelled = 0
        self.request_ids = []
        self.heads = []
        self.seconds_left = 0.0

    async def _answer(self, incoming):
        self.asked += 1
        self.request_ids.append(incoming.request_id)
        self.heads.append(dispatch_pb2.DispatchHead.FromString(incoming.head))
        self.seconds_left = incoming.deadline.remaining(asyncio.get_running_loop().time())
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        if self.reply is not None:
            return self.reply
        request = pb.PredictRequest.FromString(incoming.payload)
        return pb.PredictReply(instances=request.instances).SerializeToString()

    async def _exchange(self, context, stream):
        await serve_exchange(stream, self._answer, max_outstanding=10)

    @asynccontextmanager
    async def joined(self):
        routes = Routes(streams={"/mindserve.serving.v1.Dispatch/Exchange": self._exchange})
        wire = NativeWire()
        async with wire.serve(routes, ["127.0.0.1:0"]) as server:
            self.membership = Membership(
                wire, lambda: Hello("w", server.addresses[0]), lambda: self.offers, int, print
            )
            task = asyncio.create_task(self.membership.keep_joined(self._master.membership_address))
            try:
                await until(self.is_known, what="the worker to be known")
                yield self
            finally:
                task.cancel()
                await asyncio.wait([task])

    async def is_known(self):
        return (await ask(self._master.rest_address, "GET", "/readyz")).status == 200


@asynccontextmanager
async def a_master(**settings):
    chosen = MasterSettings(
        listen="127.0.0.1:0", membership_address="127.0.0.1:0", rest_address="127.0.0.1:0",
        **settings,
    )  # fmt: skip
    async with asyncio.timeout(60), open_master(chosen) as opened:
        yield opened


@asynccontextmanager
async def serving(**settings):
    """A master and a worker of it."""
    async with a_master(**settings) as master, Worker(master).joined() as worker:
        yield master, worker


async def test_an_object_a_list_and_base64_are_answered_in_order():
    async with serving() as (master, _):
        http = await Http.connect(master.rest_address)
        for asked, answered in (
            (ONE, [{"x": [1.5, 2.5]}]),
            ({"instances": [{"x": 1}, {"x": 2}]}, [{"x": 1}, {"x": 2}]),
            ({"instances": {"t": "text", "b": {"b64": "AQI="}}}, None),
            ({"instances": {"x": {"b64": "AAABAA==", "type": "int16", "shape": [2]}}}, None),
        ):
            answer = await http.ask("POST", CALL, asked)
            assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
            assert answered is None or answer.json == {"instances": answered}
        assert answer.json == {"instances": [{"x": [0, 1]}]}
        for path in ("/model/toy/version/1:predict", "/version/2/model/toy:other"):
            assert (await http.ask("POST", path, ONE)).status == 200
        http.hang_up()


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "/model/toy:predict", b"", 400, "http message invalid"),
        ("POST", "/model/toy:predict", b"{", 400, "Illegal JSON format."),
        ("POST", "/nowhere", ONE, 404, "please check url, the keyword:[model] must contain."),
        ("POST", "/model/toy", ONE, 400, "the keyword:[service method] must contain."),
        ("POST", "/model/toy/version/x:predict", ONE, 400, "the keyword:[version] value invalid"),
        ("POST", "/model/none:predict", ONE, 404, "servable is not available"),
        ("POST", "/model/toy:none", ONE, 404, "method is not available"),
        ("POST", "/model/toy/version/7:predict", ONE, 404, "servable is not available"),
        ("POST", "/model/toy:predict", {}, 400, "Parser request failed, key 'instances'"),
        # Method, body, URL, content, servable: the first of them that is wrong is told.
        ("PUT", "/nowhere", b"{", 405, "http message only support POST right now"),
        ("POST", "/nowhere", b"{", 400, "Illegal JSON format."),
        ("POST", "/nowhere", {}, 404, "please check url, the keyword:[model] must contain."),
        ("POST", "/model/none:predict", {}, 400, "Parser request failed, key 'instances'"),
        ("PUT", "/model/toy:predict", ONE, 405, "http message only support POST right now"),
        ("GET", "/model/toy:predict", b"", 405, "http message only support POST right now"),
    ],
)
async def test_faults_have_a_status_and_the_originals_words(method, path, body, status, text):
    async with serving() as (master, _):
        answer = await ask(master.rest_address, method, path, body)
        assert answer.status == status
        assert text in answer.json["error_msg"]
        assert list(answer.json) == ["error_msg"]
        assert ("allow" in answer.headers) == (status == 405)
    async with serving(rest_status="compat") as (master, _):
        answer = await ask(master.rest_address, method, path, body)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert text in answer.json["error_msg"]


@pytest.mark.parametrize(
    ("failure", "status", "retry"),
    [
        (AgentLost("the device process ended"), 502, False),
        (Overloaded("full"), 429, True),
        (Draining("going"), 503, True),
        (StageFailed("it raised"), 500, False),
    ],
)
async def test_failures_of_workers_have_a_status_too(failure, status, retry):
    async with serving() as (master, worker):
        worker.failure = failure
        answer = await ask(master.rest_address, "POST", CALL, ONE)
        assert answer.status == status
        assert ("retry-after" in answer.headers) == retry
        assert answer.json == {"error_msg": failure.message}


async def test_a_reply_that_is_none_is_our_fault_and_tells_nothing():
    async with serving() as (master, worker):
        worker.reply = b"\xff/secret/path"
        with capture_logs() as logs:
            answer = await ask(master.rest_address, "POST", CALL, ONE)
        assert logs[0]["event"] == "request failed unexpectedly"
        assert answer.status == 500
        assert "internal error" in answer.json["error_msg"]


async def test_a_worker_that_is_lost_is_a_bad_gateway_and_then_nobody_serves():
    async with a_master() as master:
        async with Worker(master).joined() as worker:
            worker.go_on.clear()
            asking = asyncio.create_task(ask(master.rest_address, "POST", CALL, ONE))
            await until(lambda: worker.asked, what="the request to be there")
        assert (await asking).status == 502
        answer = await ask(master.rest_address, "POST", CALL, ONE)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert (await ask(master.rest_address, "GET", "/readyz")).status == 503
        assert (await ask(master.rest_address, "GET", "/readyz/toy")).status == 503
        assert (await ask(master.rest_address, "GET", "/model/toy")).status == 503


async def test_a_full_master_says_so_and_when_to_come_again():
    async with serving(max_requests=1) as (master, worker):
        worker.go_on.clear()
        first = asyncio.create_task(ask(master.rest_address, "POST", CALL, ONE))
        await until(lambda: worker.asked, what="the request to be there")
        answer = await ask(master.rest_address, "POST", CALL, ONE)
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert "enqueued requests count exceeds the limit 1" in answer.json["error_msg"]
        worker.go_on.set()
        assert (await first).status == 200


async def test_time_is_up_by_setting_or_by_header():
    async with serving(request_timeout_seconds=0.05) as (master, worker):
        worker.go_on.clear()
        assert (await ask(master.rest_address, "POST", CALL, ONE)).status == 504
    async with serving() as (master, worker):
        worker.go_on.clear()
        address = master.rest_address
        assert (await ask(address, "POST", CALL, ONE, x_request_timeout="0.05")).status == 504
        for wrong in ("0", "-1", "soon", "nan", "inf"):
            answer = await ask(address, "POST", CALL, ONE, x_request_timeout=wrong)
            assert answer.status == 400
            assert f"got '{wrong}'" in answer.json["error_msg"]


async def test_a_body_that_does_not_come_in_time_is_given_up():
    async with serving(request_timeout_seconds=0.05) as (master, _):
        http = await Http.connect(master.rest_address)
        http.write("POST", CALL, b"{", Content_Length="100")
        http.writer.write(b"")
        answer = await http.read()
        assert answer.status in (400, 408)
        http.hang_up()
        http = await Http.connect(master.rest_address)
        http.writer.write(f"POST {CALL} HTTP/1.1\r\nContent-Length: 100\r\n\r\n{{".encode())
        answer = await http.read()
        assert answer.status == 408
        assert "got 1 bytes" in answer.json["error_msg"]
        assert answer.headers["connection"] == "close"
        http.hang_up()


async def test_request_ids_are_taken_or_made_given_back_and_handed_on():
    async with serving() as (master, worker):
        address = master.rest_address
        given = await ask(address, "POST", CALL, ONE, X_Request_Id="mine-1")
        assert given.headers["x-request-id"] == "mine-1"
        made = await ask(address, "POST", CALL, ONE)
        assert worker.request_ids == ["mine-1", made.headers["x-request-id"]]
        assert made.headers["x-request-id"]
        odd = await ask(address, "POST", CALL, ONE, X_Request_Id="\xe9")
        assert odd.headers["x-request-id"].isascii()
        failed = await ask(address, "POST", CALL, b"", X_Request_Id="mine-2")
        assert failed.headers["x-request-id"] == "mine-2"


async def test_a_large_body_is_refused_by_its_length_and_while_it_streams_in():
    async with serving(rest_max_message_mb=1) as (master, worker):
        http = await Http.connect(master.rest_address)
        http.writer.write(f"POST {CALL} HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n".encode())
        answer = await http.read()
        assert answer.status == 413
        assert "http message is bigger than 1048576" in answer.json["error_msg"]
        http.hang_up()

        http = await Http.connect(master.rest_address)
        http.writer.write(f"POST {CALL} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        for _ in range(17):  # and no end
            http.writer.write(piece)
        answer = await http.read()
        assert answer.status == 413
        assert answer.headers["connection"] == "close"
        http.hang_up()

        # As large as allowed.
        body = orjson.dumps(ONE)
        answer = await ask(master.rest_address, "POST", CALL, body.ljust(1048576))
        assert answer.status == 200
        assert worker.asked == 1


async def test_a_client_that_sends_all_of_a_large_body_first_still_hears_why():
    async with serving(rest_max_message_mb=1) as (master, _):
        answer = await ask(master.rest_address, "POST", CALL, b" " * (8 << 20))
        assert answer.status == 413


@pytest.mark.parametrize("size", [2, 100_000])
async def test_a_client_that_hangs_up_cancels_its_request(size):
    async with serving() as (master, worker):
        worker.go_on.clear()
        http = await Http.connect(master.rest_address)
        http.write("POST", CALL, orjson.dumps({"instances": {"x": [0.5] * size}}))
        await until(lambda: worker.asked, what="the request to be there")
        http.hang_up()
        await until(lambda: worker.cancelled, what="the worker to hear of it")
        worker.go_on.set()
        assert (await ask(master.rest_address, "POST", CALL, ONE)).status == 200


async def test_large_lists_go_through_a_thread_and_come_back():
    numbers = [number / 2 for number in range(300_000)]
    async with serving() as (master, _):
        answer = await ask(master.rest_address, "POST", CALL, {"instances": {"x": numbers}})
        assert answer.json == {"instances": [{"x": numbers}]}


async def test_a_priority_and_whether_the_time_is_its_own_travel_beside_a_request():
    async with serving() as (master, worker):
        for headers, expected in (
            ({}, (0, True)),
            ({"x_request_priority": "2", "x_request_timeout": "5"}, (2, False)),
            ({"x_request_priority": "0"}, (0, True)),
        ):
            assert (await ask(master.rest_address, "POST", CALL, ONE, **headers)).status == 200
            assert (worker.heads[-1].priority, worker.heads[-1].default_timeout) == expected


@pytest.mark.parametrize("priority", ["-1", "1.5", "high", "", "1000", "²"])
async def test_what_is_no_priority_is_refused_before_a_worker_hears_of_it(priority):
    async with serving() as (master, worker):
        headers = {"x_request_priority": priority}
        answer = await ask(master.rest_address, "POST", CALL, ONE, **headers)
        assert answer.status == 400
        assert "x-request-priority: expected a level from 1" in answer.json["error_msg"]
        assert worker.asked == 0


async def test_nobody_gets_more_time_than_the_master_allows():
    async with serving(max_request_timeout_seconds=3) as (master, worker):
        for headers, most in (
            ({}, 3),
            ({"x_request_timeout": "60"}, 3),
            ({"x_request_timeout": "2"}, 2),
        ):
            assert (await ask(master.rest_address, "POST", CALL, ONE, **headers)).status == 200
            assert most - 1 < worker.seconds_left < most + 0.5


async def test_many_requests_on_one_connection_are_answered_in_order():
    async with serving() as (master, _):
        http = await Http.connect(master.rest_address)
        for number in range(20):
            http.write("POST", CALL, orjson.dumps({"instances": {"x": number}}))
        for number in range(20):
            assert (await http.read()).json == {"instances": [{"x": number}]}
        http.hang_up()


async def test_health_and_what_is_served_can_be_read():
    async with a_master() as master:
        address = master.rest_address
        assert (await ask(address, "GET", "/healthz")).json == {"status": "live"}
        assert (await ask(address, "HEAD", "/healthz")).status == 200
        assert (await ask(address, "GET", "/readyz")).status == 503
        assert (await ask(address, "GET", "/readyz/toy")).status == 404
        assert (await ask(address, "GET", "/model/toy")).status == 404
        async with Worker(master).joined():
            assert (await ask(address, "GET", "/readyz")).json["servables"] == ["toy"]
            assert (await ask(address, "GET", "/readyz/toy")).json["versions"] == [1, 2]
            assert (await ask(address, "GET", "/readyz/none")).status == 404
            predict = {"name": "predict", "inputs": ["x"], "outputs": ["y"]}
            other = {"name": "other", "inputs": [], "outputs": []}
            assert (await ask(address, "GET", "/model/toy")).json == {
                "servable": "toy",
                "versions": [
                    {"version": 1, "methods": [predict]},
                    {"version": 2, "methods": [other, predict]},
                ],
            }
            one = await ask(address, "GET", "/model/toy/version/1")
            assert [each["version"] for each in one.json["versions"]] == [1]
            assert (await ask(address, "GET", "/model/toy/version/3")).status == 404
            assert (await ask(address, "GET", "/nothing")).status == 404


async def test_the_openapi_document_names_what_is_served():
    async with serving() as (master, _):
        document = (await ask(master.rest_address, "GET", "/openapi.json")).json
        assert document["openapi"] == "3.1.0"
        posts = {path for path, item in document["paths"].items() if "post" in item}
        assert posts == {
            "/model/toy:predict", "/model/toy:other", "/model/toy/version/1:predict",
            "/model/toy/version/2:predict", "/model/toy/version/2:other",
        }  # fmt: skip
        for path in posts:
            assert (await ask(master.rest_address, "POST", path, ONE)).status == 200
        names = [item[verb]["operationId"] for item in document["paths"].values() for verb in item]
        assert len(set(names)) == len(names)


async def test_a_drain_answers_what_was_accepted_refuses_the_rest_and_closes_connections():
    async with serving() as (master, worker):
        worker.go_on.clear()
        address = master.rest_address
        busy, idle = await Http.connect(address), await Http.connect(address)
        assert (await idle.ask("GET", "/healthz")).status == 200
        busy.write("POST", CALL, orjson.dumps(ONE))
        await until(lambda: worker.asked, what="the request to be there")
        draining = asyncio.create_task(master.drain())

        async def is_not_ready():
            return (await idle.ask("GET", "/readyz")).status == 503

        await until(is_not_ready, what="the drain to begin")
        refused = await idle.ask("POST", CALL, ONE)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert (await idle.ask("GET", "/healthz")).status == 200
        assert not draining.done()
        worker.go_on.set()
        assert (await busy.read()).json == {"instances": [{"x": [1.5, 2.5]}]}
        assert await busy.is_closed()
        assert await idle.is_closed()
        busy.hang_up()
        idle.hang_up()
        await draining
        with pytest.raises(OSError, match=r"(?i)connect"):
            await Http.connect(address)


async def test_what_is_no_http_is_told_so():
    async with a_master() as master:
        for said, status in (
            (b"hello\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nx: " + b"a" * 300_000, 431),
            (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        ):
            http = await Http.connect(master.rest_address)
            http.writer.write(said)
            answer = await http.read()
            assert answer.status == status
            assert answer.json["error_msg"]
            http.hang_up()


async def test_https_and_client_certificates(tmp_path):
    ours = make_certificates(tmp_path)
    trusting = ssl.create_default_context(cafile=ours.ca)
    async with a_master(rest_tls_certificate=ours.certificate, rest_tls_key=ours.key) as master:
        http = await Http.connect(master.rest_address, trusting)
        assert (await http.ask("GET", "/healthz")).status == 200
        http.hang_up()
    files = {"rest_tls_certificate": ours.certificate, "rest_tls_key": ours.key}
    async with a_master(**files, rest_tls_client_ca=ours.ca) as master:
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            http = await Http.connect(master.rest_address, trusting)
            await http.ask("GET", "/healthz")
        trusting.load_cert_chain(ours.client_certificate, ours.client_key)
        http = await Http.connect(master.rest_address, trusting)
        assert (await http.ask("GET", "/healthz")).status == 200
        http.hang_up()


async def test_an_address_in_use_is_named():
    async with a_master() as master:
        settings = MasterSettings(
            listen="127.0.0.1:0", membership_address="127.0.0.1:0",
            rest_address=master.rest_address,
        )  # fmt: skip
        with pytest.raises(OSError, match=f"cannot listen on {master.rest_address}"):
            async with open_master(settings):
                pass


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rest_tls_key": "a.pem"}, "rest_tls_certificate and rest_tls_key come together"),
        ({"rest_tls_client_ca": "a.pem"}, "rest_tls_client_ca is of no use without"),
        ({"rest_tls_certificate": "a", "rest_tls_key": "b"}, "of no use without rest_address"),
        ({"rest_max_message_mb": 513}, "less than or equal to 512"),
        ({"rest_status": "maybe"}, "'honest' or 'compat'"),
        ({"rest_address": "unix:here"}, "not an address"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        MasterSettings(**settings)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_example_of_the_documentation():
    async with serving() as (master, _):
        command = ["curl", "-s", "-m", "10", f"http://{master.rest_address}{CALL}"]
        command += ["-d", '{"instances": [{"x": [1.5, 2.5]}]}']
        said = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, timeout=30, check=True
        )
        assert json.loads(said.stdout) == {"instances": [{"x": [1.5, 2.5]}]}


async def test_gzip_is_read_and_answered_where_it_is_asked_for_and_worth_it():
    async with serving(rest_gzip_from_bytes=1000) as (master, _):
        http = await Http.connect(master.rest_address)
        large = orjson.dumps({"instances": {"x": [1.5] * 2000}})
        answer = await http.ask("POST", CALL, gzip.compress(large), content_encoding="gzip")
        assert answer.json == {"instances": [{"x": [1.5] * 2000}]}
        assert "content-encoding" not in answer.headers
        assert answer.headers["vary"] == "accept-encoding"
        packed = await http.ask("POST", CALL, large, accept_encoding="gzip, br")
        assert packed.headers["content-encoding"] == "gzip"
        assert len(packed.body) < len(answer.body) / 10
        assert gzip.decompress(packed.body) == answer.body
        small = await http.ask("POST", CALL, ONE, accept_encoding="gzip")
        assert "content-encoding" not in small.headers
        http.hang_up()


@pytest.mark.parametrize(
    ("coding", "body", "status", "reason"),
    [
        ("br", b"{}", 415, "expected gzip or none, got 'br'"),
        ("gzip", b"{}", 400, "the body is no gzip"),
        ("gzip", gzip.compress(b"{}" * 100)[:-4], 400, "ends before its gzip does"),
        ("gzip", gzip.compress(bytes(5 << 20)), 413, "bigger than 1048576 when inflated"),
        ("gzip", gzip.compress(b"{"), 400, "Illegal JSON"),
    ],
)
async def test_what_cannot_be_unpacked_is_refused(coding, body, status, reason):
    async with serving(rest_max_message_mb=1) as (master, worker):
        answer = await ask(master.rest_address, "POST", CALL, body, content_encoding=coding)
        assert answer.status == status
        assert reason in answer.json["error_msg"]
        assert ("accept-encoding" in answer.headers) == (status == 415)
        assert worker.asked == 0


async def test_beyond_the_limit_of_connections_a_client_hears_503_and_neighbours_nothing():
    async with serving(rest_max_connections=2) as (master, _):
        first = await Http.connect(master.rest_address)
        second = await Http.connect(master.rest_address)
        for http in (first, second):
            assert (await http.ask("POST", CALL, ONE)).status == 200
        refused = await Http.connect(master.rest_address)
        answer = await refused.read()
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert answer.json == {"error_msg": "the limit of 2 connections is reached"}
        assert await refused.is_closed()
        refused.hang_up()
        assert (await first.ask("POST", CALL, ONE)).status == 200
        second.hang_up()

        async def has_room():
            return (await ask(master.rest_address, "GET", "/healthz")).status == 200

        await until(has_room, what="the place of the one that left")
        first.hang_up()


LARGE = {"instances": [{"x": [number + 0.5] * 100_000} for number in range(4)]}


def json_processes():
    below = psutil.Process().children(recursive=True)
    return [each for each in below if "services.master.rest.large_process" in each.cmdline()]


async def test_large_json_is_read_and_written_beside_the_master():
    async with serving() as (master, _):
        assert (await ask(master.rest_address, "POST", CALL, ONE)).status == 200
        assert json_processes() == []
        for _ in range(2):
            answer = await ask(master.rest_address, "POST", CALL, LARGE)
            assert answer.json == LARGE
            assert len(json_processes()) == 1
    assert json_processes() == []


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        (CALL, b"[" * (2 << 20), 400, "Illegal JSON format."),
        (CALL, {"instances": [{"x": [1.5] * 400_000}, {"x": [[1], 2] * 200_000}]}, 400, "x"),
        ("/model/", LARGE, 400, ""),
        ("/model/toy:nothing", LARGE, 404, "nothing"),
    ],
)
async def test_large_json_that_is_wrong_gets_the_same_answers(path, body, status, reason):
    async with serving() as (master, _):
        answer = await ask(master.rest_address, "POST", path, body)
        assert (answer.status, reason in answer.json["error_msg"]) == (status, True)


async def test_a_process_for_large_json_that_ends_is_started_again():
    async with serving() as (master, worker):
        assert (await ask(master.rest_address, "POST", CALL, LARGE)).status == 200
        (first,) = json_processes()
        worker.go_on.clear()
        waiting = asyncio.create_task(ask(master.rest_address, "POST", CALL, LARGE))
        await until(lambda: worker.asked == 2, what="the request to be read")
        first.suspend()
        worker.go_on.set()
        first.kill()
        answer = await waiting
        assert answer.status in (200, 500)
        if answer.status == 500:
            assert "large JSON has ended" in answer.json["error_msg"]

        async def answers():
            return (await ask(master.rest_address, "POST", CALL, LARGE)).status == 200

        await until(answers, what="another process")
        assert json_processes() != [first]


async def test_a_process_for_large_json_that_hangs_is_ended_and_fails_one_request_alone():
    # More than a process needs to start on a busy host.
    async with serving(rest_json_hang_seconds=5.0) as (master, _):
        address = master.rest_address
        assert (await ask(address, "POST", CALL, LARGE)).status == 200
        (hung,) = json_processes()
        hung.suspend()
        answers = await asyncio.gather(*(ask(address, "POST", CALL, LARGE) for _ in range(3)))
        assert not hung.is_running()
        failed, *others = sorted(answers, key=lambda each: -each.status)
        assert failed.status == 500
        assert failed.json == {
            "error_msg": "the process that reads and writes large JSON did not finish in 5 s and"
            " was ended"
        }
        assert [each.json for each in others] == [LARGE, LARGE]
        assert (await ask(address, "POST", CALL, LARGE)).json == LARGE
        assert len(json_processes()) == 1


async def test_a_client_that_leaves_while_its_large_json_is_read_harms_no_neighbour():
    async with serving() as (master, _):
        leaving = await Http.connect(master.rest_address)
        leaving.write("POST", CALL, orjson.dumps(LARGE))
        await leaving.writer.drain()
        leaving.hang_up()
        assert (await ask(master.rest_address, "POST", CALL, LARGE)).json == LARGE


async def test_nobody_waits_for_large_json_beyond_the_deadline():
    async with serving() as (master, _):
        address = master.rest_address
        assert (await ask(address, "POST", CALL, LARGE)).status == 200
        (process,) = json_processes()
        process.suspend()
        late = await ask(address, "POST", CALL, LARGE, x_request_timeout="0.2")
        assert (late.status, "while JSON was read" in late.json["error_msg"]) == (504, True)
        process.resume()
        assert (await ask(address, "POST", CALL, LARGE)).json == LARGE


async def test_a_query_string_is_left_out_and_of_names_that_come_twice_the_last_counts():
    async with serving() as (master, _):
        address = master.rest_address
        assert (await ask(address, "POST", f"{CALL}?a=1", ONE)).status == 200
        twice = b'{"instances": {"x": 1}, "instances": {"t": {"b64": "AAAA", "b64": "AQI="}}}'
        answer = await ask(address, "POST", CALL, twice)
        assert answer.json == {"instances": [{"t": {"b64": "AQI="}}]}
