"""What operators ask by URL and JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.master.labels import Label
from services.master.rest.orders import Asked, read_asked, read_labels
from services.master.rest.statuses import MethodNotAllowed
from shared.errors import InvalidRequest, NotServed
from shared.repository import Order


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("GET", "/servables", Asked("index", Order(""))),
        ("GET", "/servables/toy", Asked("index", Order("toy"))),
        ("POST", "/servables/toy/load", Asked("load", Order("toy"))),
        ("POST", "/servables/toy/version/3/load", Asked("load", Order("toy", 3))),
        ("POST", "/servables/toy/version/3/unload", Asked("unload", Order("toy", 3))),
        ("GET", "/servables/toy/labels", Asked("labels", Order("toy"))),
        ("PUT", "/servables/toy/labels", Asked("set labels", Order("toy"))),
        ("GET", "/servables/load", Asked("index", Order("load"))),
        ("POST", "/servables/a%20b/load", Asked("load", Order("a b"))),
    ],
)
def test_orders_by_url(method, path, asked):
    assert read_asked(method, path) == asked


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("GET", "/", NotServed),
        ("GET", "/servables/", NotServed),
        ("POST", "/servables/toy/version/0/load", NotServed),
        ("POST", "/servables/toy/version/x/load", NotServed),
        ("POST", "/servables/toy/version/3", NotServed),
        ("POST", "/servables/toy/version/3/labels", NotServed),
        ("POST", f"/servables/toy/version/{'9' * 30}/load", NotServed),
        ("POST", "/servables/toy/../load", NotServed),
        ("GET", "/servables/toy/load", MethodNotAllowed),
        ("POST", "/servables/toy/labels", MethodNotAllowed),
        ("DELETE", "/servables/toy", MethodNotAllowed),
        ("POST", "/servables/%ff/load", InvalidRequest),
    ],
)
def test_urls_that_are_no_order(method, path, error):
    with pytest.raises(error):
        read_asked(method, path)


def test_labels_in_json():
    asked = {"stable": {"version": 3, "weight": 95}, "old": {"version": 1}}
    assert read_labels(asked) == [Label("stable", 3, 95), Label("old", 1, 0)]
    assert read_labels({}) == []


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ([], "labels: expected a JSON object, by name"),
        ({"a": 3}, "label 'a': expected an object with version"),
        ({"a": {"weight": 3}}, "label 'a': expected an object with version"),
        ({"a": {"version": 3, "wieght": 1}}, "label 'a': expected an object with version"),
        ({"a": {"version": "3"}}, "label 'a': expected a whole number as version, got 3"),
        ({"a": {"version": True}}, "label 'a': expected a whole number as version, got True"),
        ({"a": {"version": 3, "weight": 0.5}}, "expected a whole number as weight, got 0.5"),
    ],
)
def test_json_that_is_no_labels(asked, fault):
    with pytest.raises(InvalidRequest) as refused:
        read_labels(asked)
    assert fault in refused.value.message


@given(st.sampled_from(["GET", "POST", "PUT"]), st.text(max_size=40))
def test_any_url_is_read_or_refused(method, path):
    try:
        assert read_asked(method, "/servables/" + path).order.servable
    except InvalidRequest as fault:
        assert len(fault.message) < 500
