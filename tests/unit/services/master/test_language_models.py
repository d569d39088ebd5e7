"""Language models by the names that clients call them."""

import random

import pytest

from services.master.labels import Label
from services.master.language_models import LanguageModels
from shared.errors import InvalidRequest, NotServed, Unavailable
from shared.membership import LanguageOffer, Offer, OfferedMethod, Offers
from shared.servable import ServableVersion


def offers(*whats, draining=False):
    return Offers(
        tuple(
            Offer(ServableVersion(name, version), {}, 1, LanguageOffer(tuple(adapters), 64))
            for name, version, *adapters in whats
        ),
        draining,
    )


@pytest.fixture
def models():
    return LanguageModels(lambda servable: ())


def test_a_model_is_found_by_its_name_and_by_those_of_its_adapters(models):
    models.update("w", offers(("base", 1, "tuned")))
    models.update("v", offers(("base", 1)))
    base, tuned = models.find("base"), models.find("tuned")
    assert (base.servable, set(base.workers), base.is_adapter) == ("base", {"v", "w"}, False)
    assert (tuned.servable, tuned.workers, tuned.is_adapter) == ("base", ("w",), True)
    assert models.names() == ["base", "tuned"]


def test_the_newest_version_is_found_or_the_one_asked_for(models):
    models.update("w", offers(("base", 1), ("base", 3)))
    models.update("v", offers(("base", 2)))
    assert models.find("base").version == 3
    assert models.find("base", 2).workers == ("v",)
    with pytest.raises(NotServed, match="version 4"):
        models.find("base", 4)


def test_labels_share_out_requests_that_name_no_version():
    labels = {"base": (Label("stable", 1, 3), Label("canary", 2, 1), Label("gone", 9, 100))}
    models = LanguageModels(labels.__getitem__, random.Random(1))
    models.update("w", offers(("base", 1), ("base", 2), ("base", 3)))
    found = [models.find("base").version for _ in range(400)]
    assert set(found) == {1, 2}
    assert 60 < found.count(2) < 140


def test_what_was_there_is_unavailable_and_what_never_was_is_not_served(models):
    with pytest.raises(NotServed):
        models.find("base")
    models.update("w", offers(("base", 1)))
    models.update("w", offers(("base", 1), draining=True))
    with pytest.raises(Unavailable):
        models.find("base")
    models.update("w", offers(("base", 1)))
    models.remove("w")
    with pytest.raises(Unavailable):
        models.find("base")
    with pytest.raises(NotServed):
        models.find("other")


def test_no_name_is_the_only_model_or_the_default(models):
    with pytest.raises(Unavailable):
        models.find("")
    models.update("w", offers(("base", 1, "tuned")))
    assert models.find("").name == models.find("tgi").name == "base"
    models.update("v", offers(("other", 1)))
    with pytest.raises(InvalidRequest, match="expected one of base, other, got none"):
        models.find("")
    chosen = LanguageModels(lambda servable: (), default="other")
    chosen.update("v", offers(("base", 1), ("other", 1)))
    assert chosen.find("").name == "other"


def test_a_servable_keeps_its_name_before_an_adapter(models):
    models.update("a", offers(("aaa", 1, "base")))
    models.update("w", offers(("base", 1)))
    assert models.find("base").workers == ("w",)


def test_other_servables_are_no_language_models(models):
    models.update("w", Offers((Offer(ServableVersion("add", 1), {"add": OfferedMethod()}, 1),)))
    assert models.names() == []
