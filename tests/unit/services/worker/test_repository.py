"""Servable directories: what is found, what is refused, what is new."""

import shutil

import pytest

from services.worker.servable.loader import load
from services.worker.servable.repository import Repository
from services.worker.servable.wanted import Wanted
from shared.errors import LoadFailed
from tests.support.cluster import add_servable


def repository(tmp_path, *named):
    return Repository(tmp_path, [Wanted.parse(each) for each in named], max_batch_size=8)


def whats(loaded):
    return [str(each.what) for each in loaded]


def test_every_servable_found_is_loaded_at_its_newest_version(tmp_path):
    add_servable(tmp_path, "one", version=2)
    add_servable(tmp_path, "one", version=10)
    add_servable(tmp_path, "two")
    (tmp_path / "no_servable").mkdir()
    assert whats(repository(tmp_path).load_new()) == [
        "servable 'one' version 10",
        "servable 'two' version 1",
    ]


def test_what_is_named_is_loaded_at_the_version_named(tmp_path):
    add_servable(tmp_path, "one", version=1)
    add_servable(tmp_path, "one", version=2)
    loaded = repository(tmp_path, "one:1", "one").load_new()
    assert whats(loaded) == ["servable 'one' version 1", "servable 'one' version 2"]


def test_a_servable_that_cannot_be_loaded_leaves_its_neighbours_alone(tmp_path):
    add_servable(tmp_path, "good")
    add_servable(tmp_path, "broken")
    (tmp_path / "broken" / "servable_config.py").write_text("1 / 0\n")
    assert whats(repository(tmp_path).load_new()) == ["servable 'good' version 1"]
    with pytest.raises(LoadFailed, match="ZeroDivisionError"):
        repository(tmp_path, "broken").load_new()


def test_a_directory_that_is_not_there_is_no_crash_but_a_name_in_it_is_refused(tmp_path):
    assert repository(tmp_path / "nowhere").load_new() == []
    with pytest.raises(LoadFailed):
        repository(tmp_path / "nowhere", "one").load_new()


def test_only_what_is_not_known_yet_is_loaded_again(tmp_path):
    add_servable(tmp_path, "one", version=1)
    found = repository(tmp_path)
    known = [each.what for each in found.load_new()]
    assert found.load_new(known) == []
    add_servable(tmp_path, "one", version=2)
    assert whats(found.load_new(known)) == ["servable 'one' version 2"]


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
