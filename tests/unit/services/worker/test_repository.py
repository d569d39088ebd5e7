"""Servable directories: what is found, what is refused, what is new."""

import shutil

import pytest

from services.worker.servable.loader import load
from services.worker.servable.policy import VersionPolicy
from services.worker.servable.repository import Repository
from services.worker.servable.wanted import Wanted
from shared.errors import LoadFailed
from tests.support.cluster import add_servable


def repository(tmp_path, *named, policy="latest:1"):
    wanted = [Wanted.parse(each) for each in named]
    return Repository(tmp_path, wanted, VersionPolicy.parse(policy), max_batch_size=8)


def first(made):
    return [str(each.what) for each in made.load_first().loaded]


def test_every_servable_found_is_loaded_at_its_newest_version(tmp_path):
    add_servable(tmp_path, "one", version=2)
    add_servable(tmp_path, "one", version=10)
    add_servable(tmp_path, "two")
    (tmp_path / "no_servable").mkdir()
    assert first(repository(tmp_path)) == ["servable 'one' version 10", "servable 'two' version 1"]


def test_the_policy_says_how_many_versions_are_loaded(tmp_path):
    for version in (1, 2, 10):
        add_servable(tmp_path, "one", version=version)
    named = "servable 'one' version "
    assert first(repository(tmp_path, policy="latest:2")) == [f"{named}2", f"{named}10"]
    assert first(repository(tmp_path, policy="all")) == [f"{named}1", f"{named}2", f"{named}10"]
    assert first(repository(tmp_path, "one:1", policy="all")) == [f"{named}1"]


def test_what_is_named_is_loaded_at_the_version_named(tmp_path):
    add_servable(tmp_path, "one", version=1)
    add_servable(tmp_path, "one", version=2)
    loaded = first(repository(tmp_path, "one:1", "one"))
    assert loaded == ["servable 'one' version 1", "servable 'one' version 2"]
    with pytest.raises(LoadFailed, match="specified version number: 3"):
        repository(tmp_path, "one:3").load_first()


def test_a_servable_that_cannot_be_loaded_leaves_its_neighbours_alone(tmp_path):
    add_servable(tmp_path, "good")
    add_servable(tmp_path, "broken")
    (tmp_path / "broken" / "servable_config.py").write_text("1 / 0\n")
    found = repository(tmp_path).load_first()
    assert [str(each.what) for each in found.loaded] == ["servable 'good' version 1"]
    ((what, failure),) = found.failures.items()
    assert str(what) == "servable 'broken' version 1"
    assert "ZeroDivisionError" in failure.message
    with pytest.raises(LoadFailed, match="ZeroDivisionError"):
        repository(tmp_path, "broken").load_first()


def test_a_directory_that_is_not_there_is_no_crash_but_a_name_in_it_is_refused(tmp_path):
    assert first(repository(tmp_path / "nowhere")) == []
    with pytest.raises(LoadFailed):
        repository(tmp_path / "nowhere", "one").load_first()
    with pytest.raises(LoadFailed):
        repository(tmp_path / "nowhere").look()


def test_a_look_sees_numbered_folders_and_only_the_servables_that_were_named(tmp_path):
    for name in ("one", "two"):
        for version in (1, 3):
            add_servable(tmp_path, name, version=version)
    for other in ("0", "03", "4.part", "-5"):
        (tmp_path / "one" / other).mkdir()
    looked = repository(tmp_path).look()
    assert {name: set(versions) for name, versions in looked.items()} == {
        "one": {1, 3},
        "two": {1, 3},
    }
    assert set(repository(tmp_path, "two:3").look()) == {"two"}


def test_a_look_tells_a_folder_that_changed_from_one_that_did_not(tmp_path):
    add_servable(tmp_path, "one")
    made = repository(tmp_path)
    before = made.look()["one"][1]
    assert before == made.look()["one"][1]
    model = tmp_path / "one" / "1" / "model.json"
    model.write_text(model.read_text() + " ")
    after = made.look()["one"][1]
    assert after != before
    (tmp_path / "one" / "servable_config.py").write_text("#")
    assert made.look()["one"][1] != after
    (tmp_path / "one" / "2" / "empty").mkdir(parents=True)
    assert made.look()["one"][2] == ()


def test_a_servable_without_version_folders_has_one_version(tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "servable_config.py").write_text(
        "from mindspore_serving.server import register\n\n\n"
        '@register.register_method(output_names=["y"])\ndef same(x):\n    return x\n'
    )
    made = repository(tmp_path)
    assert set(made.look()["plain"]) == {1}
    assert first(made) == ["servable 'plain' version 1"]


@pytest.mark.parametrize("text", ["", "a/b", "../a", "a:", "a:0", "a:-1", "a:x", "a.b"])
def test_names_never_become_paths(text):
    with pytest.raises(ValueError, match="expected NAME or NAME:VERSION"):
        Wanted.parse(text)


def test_a_model_file_outside_its_version_folder_is_refused(tmp_path):
    add_servable(tmp_path, "sly")
    config = tmp_path / "sly" / "servable_config.py"
    config.write_text(config.read_text().replace("model.json", "../../secret.json"))
    with pytest.raises(LoadFailed, match="must lie in the version directory"):
        load(tmp_path, Wanted("sly"), max_batch_size=8)


def test_a_missing_version_is_named(tmp_path):
    add_servable(tmp_path, "one")
    with pytest.raises(LoadFailed, match="specified version number: 3"):
        load(tmp_path, Wanted("one", 3), max_batch_size=8)
    shutil.rmtree(tmp_path / "one" / "1")
    with pytest.raises(LoadFailed, match="no valid version directory"):
        load(tmp_path, Wanted("one"), max_batch_size=8)
