"""Large messages through ``Client``: up to a server's limit, which a script may choose."""

import numpy as np
import pytest

from mindspore_serving import server
from mindspore_serving.client import Client
from mindspore_serving.client.encoding import encode_request
from protos.ms_service import ms_service_pb2 as pb
from tests.support.scripts import RunningScript, write_servable

CONFIG = """
    import numpy as np
    from mindspore_serving.server import register


    @register.register_method(["x"])
    def echo(x):
        return x


    @register.register_method(["size", "sum"])
    def measure(x):
        return register.add_stage(lambda x: (x.size, np.sum(x)), x, outputs_count=2)
"""
SERVE = """
    import sys
    from mindspore_serving import server

    server.start_servables(server.ServableStartConfig(".", "large", device_ids=0))
    server.start_grpc_server("127.0.0.1:PORT", **eval(sys.argv[1]))
"""
MB = 1 << 20


@pytest.fixture
def serving(tmp_path):
    write_servable(tmp_path, CONFIG, name="large", functions=())

    def start(**options):
        return RunningScript(tmp_path, SERVE, options)

    return start


def address_of(script):
    return script.until("start success").rpartition(" ")[2]


def filling(message_bytes, method):
    """An array with which a request has exactly that size on the wire."""
    spec = pb.ServableSpec(name="large", method_name=method)

    def size_with(count):
        return encode_request(spec, {"x": np.ones(count, np.uint8)}).ByteSize()

    # What is beside the data is as long for every array of about this size.
    return np.ones(2 * message_bytes - size_with(message_bytes), np.uint8)


def test_eight_megabytes_travel_there_and_back(serving):
    x = np.random.default_rng(0).integers(0, 256, (8, MB), np.uint8)
    with serving() as script, Client(address_of(script), "large", "echo") as client:
        (result,) = client.infer({"x": x})
        assert np.array_equal(result["x"], x)
        several = client.infer([{"x": row} for row in x])
        assert all(np.array_equal(each["x"], row) for each, row in zip(several, x, strict=True))


@pytest.mark.parametrize(
    ("options", "limit"), [({}, 100 * MB), ({"max_msg_mb_size": 1}, MB)], ids=["default", "1 MB"]
)
def test_a_message_as_large_as_the_limit_is_taken_and_one_byte_more_is_not(serving, options, limit):
    largest = filling(limit, "measure")
    with serving(**options) as script, Client(address_of(script), "large", "measure") as client:
        (result,) = client.infer({"x": largest})
        assert (result["size"], result["sum"]) == (largest.size, largest.size)
        error = client.infer({"x": np.append(largest, np.uint8(1))})["error"]
        assert error.startswith("Grpc Error, (8, 'resource exhausted'), Received message larger")
        assert f"larger than max ({limit + 1} vs. {limit})" in error
        # Neither harms what comes next.
        (result,) = client.infer({"x": np.ones(3)})
        assert result["size"] == 3


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "should be in range [1,512]"),
        (-1, "should be in range [1,512]"),
        (513, "should be in range [1,512]"),
        (1.5, "should be int, but actually <class 'float'>"),
        ("1", "should be int, but actually <class 'str'>"),
        (True, "should be int, but actually <class 'bool'>"),
        (None, "should be int, but actually <class 'NoneType'>"),
    ],
)
@pytest.mark.parametrize("start", [server.start_grpc_server, server.start_restful_server])
def test_sizes_out_of_range_are_refused_in_the_originals_words(start, size, words):
    with pytest.raises(RuntimeError) as refused:
        start("127.0.0.1:5500", max_msg_mb_size=size)
    assert str(refused.value).startswith(f"Parameter 'max_msg_mb_size' {words}")
