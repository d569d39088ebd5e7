import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from protos.ms_service import ms_service_pb2 as pb
from services.master.spec import Spec, read_spec
from shared.errors import InvalidRequest

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
SPECS = st.builds(Spec, TEXT, TEXT, st.integers(0, 2**64 - 1), st.just(""))


def spec_message(spec):
    return pb.ServableSpec(name=spec.servable, method_name=spec.method, version_number=spec.version)


def instances(payload, count):
    request = pb.PredictRequest()
    for _ in range(count):
        request.instances.add().items["x"].data = payload
    return request.SerializeToString()


@given(SPECS, st.binary(max_size=300), st.integers(0, 3), st.booleans())
def test_the_spec_is_found_before_or_after_the_instances(spec, payload, count, first):
    parts = [
        pb.PredictRequest(servable_spec=spec_message(spec)).SerializeToString(),
        instances(payload, count),
    ]
    assert read_spec(b"".join(parts if first else reversed(parts))) == spec


@given(SPECS, SPECS)
def test_two_specs_merge_as_protobuf_merges_them(one, two):
    message = b"".join(
        pb.PredictRequest(servable_spec=spec_message(each)).SerializeToString()
        for each in (one, two)
    )
    merged = pb.PredictRequest.FromString(message).servable_spec
    assert read_spec(message) == Spec(merged.name, merged.method_name, merged.version_number)


@given(st.binary(max_size=60))
def test_any_bytes_give_what_protobuf_reads_or_an_invalid_request(message):
    try:
        spec = read_spec(message)
    except InvalidRequest:
        return
    try:
        expected = pb.PredictRequest.FromString(message).servable_spec
    except DecodeError:
        return  # wrong inside an instance: the worker says so
    assert spec == Spec(expected.name, expected.method_name, expected.version_number)


@pytest.mark.parametrize(
    "message",
    [b"\x0a\x05ab", b"\x0a", b"\x00\x01", b"\x0b", b"\x0a\x03\x0a\x01\xff", b"\xff" * 11],
    ids=["short", "no length", "field 0", "group", "not UTF-8", "endless number"],
)
def test_malformed_bytes_are_an_invalid_request(message):
    with pytest.raises(InvalidRequest, match="not a valid PredictRequest"):
        read_spec(message)


def test_unknown_fields_of_every_kind_are_stepped_over():
    unknown = b"\x78\x96\x01" + b"\x79" + bytes(8) + b"\x7d" + bytes(4) + b"\x7a\x02ab"
    spec = Spec("s", "m", 7)
    message = pb.PredictRequest(servable_spec=spec_message(spec)).SerializeToString()
    assert read_spec(unknown + message + unknown) == spec
