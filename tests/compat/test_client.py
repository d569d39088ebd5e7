"""``mindspore_serving.client`` as scripts of the original use it."""

import asyncio

import grpc
import numpy as np
import pytest

from mindspore_serving.client import AsyncClient, Client, ServingRequestError, SSLConfig
from shared.ports import free_port


@pytest.fixture
def client(stack):
    made = []

    def make(method, **options):
        made.append(Client(stack.front, "toy", method, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


X = np.array([1, 2], np.float32)


def test_one_instance_or_several_give_a_list_in_request_order(client):
    double = client("double")
    (one,) = double.infer({"x": X})
    assert one["y"].tolist() == [2, 4]
    assert not one["y"].flags.writeable
    several = double.infer(tuple({"x": X * n} for n in range(3)))
    assert [each["y"].tolist() for each in several] == [[0, 0], [2, 4], [4, 8]]


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (True, "bool", (1,)),
        (7, "int64", (1,)),
        (0.5, "float64", (1,)),
        (np.float32(3), "float32", ()),
        (np.int8(-3), "int8", ()),
        (np.zeros((2, 3), np.float16), "float16", (2, 3)),
        (np.arange(6, dtype=np.uint32).reshape(2, 3).T, "uint32", (3, 2)),
        (np.zeros((1, 0), np.int16), "int16", (1, 0)),
        (np.array([1.5], ">f8"), "float64", (1,)),
    ],
)
def test_numbers_travel_there_and_back(client, value, dtype, shape):
    (got,) = client("echo").infer({"x": value})
    assert got["y"].dtype == np.dtype(dtype)
    assert got["y"].shape == shape
    assert np.array_equal(got["y"], np.reshape(value, shape))


def test_text_and_bytes_travel_there_and_back(client):
    assert client("echo").infer([{"x": "grüezi"}, {"x": b"\x00\xff"}]) == [
        {"y": "grüezi"},
        {"y": b"\x00\xff"},
    ]
    assert client("kinds").infer({"x": 1}) == [{"a": "text", "b": b"raw"}]


def test_stage_functions_get_what_the_original_gave_them(client):
    described = client("describe").infer([{"x": X}, {"x": "text"}, {"x": b"abc"}, {"x": 1}])
    assert [each["text"] for each in described] == [
        "float32[2] writable=True",
        "str",
        "uint8[3] writable=True",
        "int64[1] writable=True",
    ]


@pytest.mark.parametrize("value", [[1, 2], None, np.bool_(True), {"a": 1}])
def test_values_that_cannot_be_sent_are_refused_before_sending(client, value):
    with pytest.raises(RuntimeError, match="Not support value type <class"):
        client("echo").infer({"x": value})
    with pytest.raises(RuntimeError, match="Unknown data type object"):
        client("echo").infer({"x": np.array([None])})


@pytest.mark.parametrize("instances", ["x", 5, None, [5], [{"x": X}, "x"]])
def test_instances_are_maps(client, instances):
    with pytest.raises(RuntimeError, match="instance should be a map"):
        client("echo").infer(instances)
    with pytest.raises(RuntimeError, match="Parameter 'key' should be str, but actually"):
        client("echo").infer({1: X})


@pytest.mark.parametrize(
    ("priority", "reason"),
    [
        (0, "Parameter 'priority' should be >= 1"),
        ("1", "Parameter 'priority' should be int, but actually <class 'str'>"),
        (True, "Parameter 'priority' should be int, but actually <class 'bool'>"),
    ],
)
def test_what_is_no_priority_is_refused_before_sending(client, priority, reason):
    double = client("double")
    for send in (double.infer, double.infer_async):
        with pytest.raises(RuntimeError, match=reason):
            send({"x": X}, priority=priority)


def test_a_request_may_say_its_priority(client):
    double = client("double")
    assert double.infer({"x": X}, priority=1)[0]["y"].tolist() == [2, 4]
    assert double.infer_async({"x": X}, priority=3).result(10)[0]["y"].tolist() == [2, 4]


def test_an_instance_that_fails_has_an_error_in_its_place(client):
    bad = np.array([-1, 0], np.float32)
    good, failed, other = client("positive").infer([{"x": X}, {"x": bad}, {"x": X}])
    assert good["y"].tolist() == other["y"].tolist() == [2, 4]
    assert failed == {
        "error": "Call Function 'toy.only_positive' Failed, method: 'positive', stage index(begin"
        " with 1): 1, error msg: ValueError: -1.0 is negative"
    }


def test_instances_that_all_fail_alike_are_one_error_for_the_request(client):
    bad = {"x": np.array([-1, 0], np.float32)}
    result = client("positive").infer([bad, bad])
    assert isinstance(result, dict)
    assert "-1.0 is negative" in result["error"]


def test_an_empty_list_is_answered_at_once(client):
    result = client("double").infer([])
    assert "Instances count is 0" in result["error"]


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (np.zeros(3, np.float32), "float32[3]"),
        (np.zeros(2, np.int32), "int32[2]"),
        (np.float32(1), "float32[]"),
        ("text", "text"),
    ],
)
def test_a_wrong_dtype_shape_or_kind_is_told_what_was_expected(client, value, got):
    result = client("double").infer({"x": value})
    assert f"input 'x1' expected float32[2], got {got}" in result["error"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.zeros(3, np.float32), "Given model input 0 size 12 not match the size 8 defined in"),
        (
            np.zeros(2, np.int32),
            "Given model input 0 data type kMSI_Int32 not match the data type kMSI_Float32 defined"
            " in model",
        ),
    ],
)
def test_a_wrong_size_or_dtype_is_told_in_the_originals_words_too(client, value, words):
    assert words in client("double").infer({"x": value})["error"]


@pytest.mark.parametrize("what", ["outputs", "type", "fewer", "no list"])
def test_a_function_that_returns_what_is_of_no_use_harms_its_instances_alone(client, what):
    """Each of these ended a worker of the original, and with it everybody's requests."""
    odd = client("odd")
    assert "error" in odd.infer({"what": what, "x": X})
    several = odd.infer([{"what": "fine", "x": X}, {"what": "more", "x": X}])
    assert [each["y"].tolist() for each in several] == [[1, 2], [1, 2]]


def test_a_wrong_instance_does_not_harm_its_neighbours(client):
    wrong, right = client("double").infer([{"x": np.zeros(3, np.float32)}, {"x": X}])
    assert "expected float32[2]" in wrong["error"]
    assert right["y"].tolist() == [2, 4]


def test_infer_async_gives_its_results_later(client):
    double = client("double")
    calls = [double.infer_async({"x": X * n}) for n in range(5)]
    answers = [each.result()[0]["y"].tolist() for each in calls]
    assert answers == [[2 * n, 4 * n] for n in range(5)]


def test_what_is_not_there_is_one_error(stack):
    with Client(stack.front, "nobody", "double") as client:
        assert client.infer({"x": X}) == {
            "error": "Request servable(nobody) method(double) , servable is not available"
        }


def test_a_master_that_is_not_there_is_unavailable(capsys):
    with Client(f"127.0.0.1:{free_port()}", "toy", "double") as client:
        assert "(14, 'unavailable')" in client.infer({"x": X})["error"]
        assert "unavailable" in capsys.readouterr().err
        with pytest.raises(grpc.RpcError):
            client.infer_async({"x": X}).result()


def test_a_message_over_the_masters_limit_is_resource_exhausted(client):
    result = client("echo").infer({"x": np.zeros(9 << 20, np.uint8)})
    assert "(8, 'resource exhausted')" in result["error"]


def test_the_form_of_the_first_versions_still_works(stack):
    host, _, port = stack.front.partition(":")
    with Client(host, int(port), "toy", "double") as client:
        assert client.infer({"x": X})[0]["y"].tolist() == [2, 4]
    with Client(host, int(port), "toy", "double", 1) as client:
        assert client.infer({"x": X})[0]["y"].tolist() == [2, 4]
    named = {"servable_name": "toy", "method_name": "double"}
    with Client(ip=host, port=int(port), version_number=1, **named) as client:
        assert client.infer({"x": X})[0]["y"].tolist() == [2, 4]
    with Client(host, int(port), **named) as client:
        assert (client.address, client.version_number) == (stack.front, 0)
    with Client(address=stack.front, **named) as client:
        assert client.infer({"x": X})[0]["y"].tolist() == [2, 4]


def test_a_timeout_is_kept(stack):
    with Client(stack.front, "toy", "double", raise_on_error=True) as client:
        with pytest.raises(grpc.RpcError) as late:
            client.infer({"x": X}, timeout=1e-6)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_errors_are_exceptions_on_request(client):
    positive = client("positive", raise_on_error=True)
    assert positive.infer({"x": X})[0]["y"].tolist() == [2, 4]
    with pytest.raises(ServingRequestError, match="is negative") as failed:
        positive.infer([{"x": X}, {"x": -X}])
    assert failed.value.errors[0] is None
    assert failed.value.results[0]["y"].tolist() == [2, 4]


async def test_the_asyncio_client_does_the_same(stack):
    async with AsyncClient(stack.front, "toy", "double") as client:
        results = await asyncio.gather(*(client.infer({"x": X * n}) for n in range(20)))
        assert [each[0]["y"].tolist() for each in results] == [[2 * n, 4 * n] for n in range(20)]
        assert "Instances count is 0" in (await client.infer([]))["error"]
    async with AsyncClient(stack.front, "toy", "positive", raise_on_error=True) as client:
        with pytest.raises(ServingRequestError, match="is negative"):
            await client.infer({"x": -X})


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((1, "s", "m"), "Parameter 'address' should be str, but actually <class 'int'>"),
        (("a:1", "", "m"), "Parameter 'servable_name' should not be empty str"),
        (("a:1", "s", None), "Parameter 'method_name' should be str"),
        (("a:1", "s", "m", -1), "Parameter 'version_number' should be >= 0"),
        (("a:1", "s", "m", 0, "tls"), "The type of ssl_config should be type of SSLConfig"),
        (("a", 0, "s", "m"), r"Parameter 'port' should be in range \[1,65535\]"),
        (("", 1, "s", "m"), "Parameter 'ip' should not be empty str"),
        (("a", True, "s", "m"), "Parameter 'port' should be int, but actually <class 'bool'>"),
    ],
)
def test_wrong_arguments_are_refused_in_the_originals_words(arguments, reason):
    with pytest.raises(RuntimeError, match=reason):
        Client(*arguments)


@pytest.mark.parametrize(
    ("version", "label", "reason"),
    [
        (0, "", "Parameter 'version_label' should not be empty str"),
        (0, 3, "Parameter 'version_label' should be str, but actually <class 'int'>"),
        (
            0,
            "b\u00e4r",
            "Parameter 'version_label' should be printable ASCII, but actually 'b\u00e4r'",
        ),
        (1, "stable", "'version_number' and 'version_label' should not both be given"),
    ],
)
def test_a_label_is_text_and_stands_in_the_place_of_a_version(version, label, reason):
    with pytest.raises(RuntimeError, match=reason):
        Client("a:1", "s", "m", version, version_label=label)
    with pytest.raises(RuntimeError, match=reason):
        Client("a", 1, "s", "m", version, version_label=label)
    assert Client("a:1", "s", "m").version_label is None


def test_a_label_that_nobody_set_is_named(stack):
    with Client(stack.front, "toy", "double", version_label="canary") as client:
        assert "label(canary) , label is not available" in client.infer({"x": X})["error"]
        assert "label(canary)" in client.infer_async({"x": X}).result()["error"]


def test_a_certificate_needs_its_key():
    with pytest.raises(RuntimeError, match="should be passed at the same time"):
        SSLConfig(certificate="cert.pem")
