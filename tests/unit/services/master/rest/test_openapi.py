"""The paths of the OpenAPI document."""

from services.master.rest.openapi import describe
from shared.membership import OfferedMethod

PREDICT = OfferedMethod(("x", "y"), ("z",))


def test_methods_can_be_called_by_newest_by_number_and_by_label():
    served = {"toy": {1: {"predict": PREDICT}, 2: {"predict": PREDICT, "more": PREDICT}}}
    paths = describe(served, {"toy": {"stable": 1, "away": 9}})["paths"]
    assert {path for path in paths if ":" in path} == {
        "/model/toy:predict",
        "/model/toy:more",
        "/model/toy/version/1:predict",
        "/model/toy/version/2:predict",
        "/model/toy/version/2:more",
        "/model/toy/label/stable:predict",
    }


def test_a_method_says_what_it_takes_and_gives():
    paths = describe({"toy": {1: {"predict": PREDICT}}}, {})["paths"]
    post = paths["/model/toy:predict"]["post"]
    request = post["requestBody"]["content"]["application/json"]["schema"]
    one, several = request["properties"]["instances"]["anyOf"]
    assert several["items"] == one
    assert one["required"] == list(one["properties"]) == ["x", "y"]
    reply = post["responses"]["200"]["content"]["application/json"]["schema"]
    assert list(reply["properties"]["instances"]["items"]["properties"]) == ["z", "error"]
