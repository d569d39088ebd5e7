"""Which servable, version and method a URL names, and what it hears that names none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.master.rest.paths import read_call, read_servable
from services.master.spec import Spec
from shared.errors import InvalidRequest, NotServed


@pytest.mark.parametrize(
    ("path", "spec"),
    [
        ("/model/toy:predict", Spec("toy", "predict", 0)),
        ("/model/toy/version/3:predict", Spec("toy", "predict", 3)),
        ("/version/3/model/toy:predict", Spec("toy", "predict", 3)),
        ("/model/toy/version/0:predict", Spec("toy", "predict", 0)),
        ("/model/toy/version/4294967294:predict", Spec("toy", "predict", 4294967294)),
        ("/model/toy/version/000000000001:predict", None),
        ("/model/toy/label/stable:predict", Spec("toy", "predict", 0, "stable")),
        ("/label/a.b-c/model/toy:predict", Spec("toy", "predict", 0, "a.b-c")),
        ("/model/label/label/model:predict", Spec("label", "predict", 0, "model")),
        # Names that hold the words themselves, which the original cannot serve.
        ("/model/model:version", Spec("model", "version", 0)),
        ("/model/version/version/1:model", Spec("version", "model", 1)),
        ("/model/my_model/version/1:predict", Spec("my_model", "predict", 1)),
        ("/model/a%20b%2Fc:m%C3%A4", Spec("a b/c", "m\xe4", 0)),
        ("/model/toy:a:b", Spec("toy", "a:b", 0)),
    ],
)
def test_paths_of_calls(path, spec):
    if spec is None:
        with pytest.raises(InvalidRequest, match="version number range failed"):
            read_call(path)
    else:
        assert read_call(path) == spec


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/", "please check url, the keyword:[model] must contain."),
        ("/mode/toy:predict", "please check url, the keyword:[model] must contain."),
        ("/version/1:predict", "please check url, the keyword:[model] must contain."),
        ("/model:predict", "please check url, the keyword:[model] must contain."),
        ("/model/:predict", "please check url, the keyword:[model] must contain."),
        ("/model/toy", "please check url, the keyword:[service method] must contain."),
        ("/model/toy:", "please check url, the keyword:[service method] must contain."),
        ("/model/toy/version/1", "please check url, the keyword:[service method] must contain."),
        ("/model/toy/version/a:predict", "please check url, the keyword:[version] value invalid"),
        ("/model/toy/version/:predict", "please check url, the keyword:[version] value invalid"),
        ("/model/toy/version/1.5:predict", "please check url, the keyword:[version] value invalid"),
        ("/model/toy/version/1_0:predict", "please check url, the keyword:[version] value invalid"),
        ("/model/toy/version/-1:predict", "please check url, version number range failed"),
        ("/model/toy/version/4294967295:predict", "please check url, version number range failed"),
        (f"/model/toy/version/{'9' * 3000}:predict", "please check url, version number range"),
        ("/model/toy/more:predict", "please check url, it holds more than"),
        ("/model/toy/version/1/label/a:predict", "please check url, it names a version and a"),
        ("/model/toy/label/:predict", "please check url, the keyword:[label] must not be empty"),
        ("/model/toy/other/1:predict", "please check url, it holds more than"),
        ("/model/toy/model/toy:predict", "please check url, it holds more than"),
        ("/model/toy/version:predict", "please check url, it holds more than"),
        ("/model/%ff:predict", "please check url, it is not UTF-8"),
        (f"/model/{'a' * 5000}:predict", "please check url, it is longer than 4096 bytes"),
    ],
)
def test_faults_of_urls_in_the_originals_words(path, fault):
    with pytest.raises(InvalidRequest) as raised:
        read_call(path)
    assert raised.value.message.startswith(fault)
    assert "expected /model/NAME[/version/N]:METHOD, got '/" in raised.value.message
    assert len(raised.value.message) < 500


def test_a_path_without_a_model_is_not_found_and_one_with_half_a_model_is_wrong():
    with pytest.raises(NotServed):
        read_call("/favicon.ico")
    with pytest.raises(InvalidRequest) as raised:
        read_call("/model/:predict")
    assert type(raised.value) is InvalidRequest


def test_what_is_known_of_a_servable_is_asked_for_without_a_method():
    assert read_servable("/model/toy") == Spec("toy")
    assert read_servable("/model/toy/version/2") == Spec("toy", "", 2)
    with pytest.raises(InvalidRequest, match="a GET names no label"):
        read_servable("/model/toy/label/stable")
    with pytest.raises(InvalidRequest, match="a GET names no method"):
        read_servable("/model/toy:predict")


@given(st.text(max_size=50))
def test_any_path_is_read_or_refused(path):
    try:
        assert read_call("/" + path).servable
    except InvalidRequest as fault:
        assert fault.message.startswith("please check url")
