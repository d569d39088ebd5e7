"""Which version folders exist, and which is meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import LoadFailed
from shared.versions import choose_version, existing_versions

VERSIONS = st.integers(1, 10**18 - 1)
NO_VERSIONS = st.text().filter(lambda name: not (name.isascii() and name.isdigit()))


def choose(folders, wanted, *, has_models=True):
    return choose_version(folders, wanted, has_models=has_models, servable="add")


def test_versions_are_listed_by_number_and_not_by_text():
    assert existing_versions(["10", "9", "1"]) == (1, 9, 10)


@pytest.mark.parametrize("name", ["", "0", "01", "1.5", "-1", "+1", " 1", "1\n", "v1", "\u0661"])
def test_a_name_that_does_not_read_back_as_written_is_no_version(name):
    assert existing_versions([name]) == ()


def test_a_number_too_long_for_the_wire_is_no_version():
    assert existing_versions(["9" * 18, "9" * 19, "9" * 5000]) == (10**18 - 1,)


@given(st.sets(VERSIONS, min_size=1), st.lists(NO_VERSIONS))
def test_version_0_means_the_newest_whatever_else_lies_there(versions, others):
    assert choose([*others, *map(str, versions)], 0) == max(versions)


@given(st.sets(VERSIONS, min_size=1), st.data())
def test_a_wanted_version_that_exists_is_taken(versions, data):
    wanted = data.draw(st.sampled_from(sorted(versions)))
    assert choose(map(str, versions), wanted) == wanted


@given(st.sets(VERSIONS, min_size=1), VERSIONS)
def test_any_other_wanted_version_is_refused(versions, wanted):
    with pytest.raises(LoadFailed):
        choose(map(str, versions - {wanted}), wanted)


def test_a_missing_version_is_named_with_those_that_exist():
    with pytest.raises(LoadFailed) as failure:
        choose(["1", "3"], 2)
    assert failure.value.message == (
        "Start servable failed: There is no specified version directory of models, specified"
        " version number: 2, servable name: add, existing versions: 1, 3"
    )


@pytest.mark.parametrize("wanted", [0, 2])
def test_models_without_any_version_folder_are_refused(wanted):
    with pytest.raises(LoadFailed) as failure:
        choose(["01", "__pycache__"], wanted)
    assert failure.value.message == (
        "There is no valid version directory of models while there are models declared in"
        " servable_config.py, servable name: add"
    )


def test_without_models_no_folder_is_needed_and_0_means_version_1():
    assert choose([], 0, has_models=False) == 1
    assert choose(["7"], 0, has_models=False) == 1
    assert choose([], 5, has_models=False) == 5


@pytest.mark.parametrize("has_models", [True, False])
def test_a_negative_version_is_refused(has_models):
    with pytest.raises(LoadFailed, match="'version_number' should be >= 0, but is -1"):
        choose(["1"], -1, has_models=has_models)
