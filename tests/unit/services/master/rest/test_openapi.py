"""The paths of the OpenAPI document."""

from services.master.rest.openapi import describe


def test_methods_can_be_called_by_newest_by_number_and_by_label():
    served = {"toy": {1: frozenset({"predict"}), 2: frozenset({"predict", "more"})}}
    paths = describe(served, {"toy": {"stable": 1, "away": 9}})["paths"]
    assert {path for path in paths if ":" in path} == {
        "/model/toy:predict",
        "/model/toy:more",
        "/model/toy/version/1:predict",
        "/model/toy/version/2:predict",
        "/model/toy/version/2:more",
        "/model/toy/label/stable:predict",
    }
