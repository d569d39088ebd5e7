"""Key files: where they are, what they hold, and what is never said of them."""

import os
from pathlib import Path

import pytest

from services.agent.keys import KeyFile, read_keys
from services.agent.settings import AgentSettings
from shared import settings
from shared.errors import LoadFailed

KEY = b"tyger-tyger-brng"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("add=/run/key", KeyFile("add", Path("/run/key"), "AES-GCM")),
        ("add=/run/key:AES-CBC", KeyFile("add", Path("/run/key"), "AES-CBC")),
        ("add=./a=b:c", KeyFile("add", Path("a=b:c"), "AES-GCM")),
    ],
)
def test_a_key_file_is_named_with_its_servable_and_mode(text, expected):
    assert KeyFile.parse(text) == expected


@pytest.mark.parametrize("text", ["", "add", "add=", "=/run/key", "a-b=/run/key", f"add={KEY}"])
def test_what_names_no_file_is_refused_and_not_repeated(text):
    with pytest.raises(settings.SettingsError) as refused:
        settings.read(AgentSettings, ["--dec-keys", text] if text else ["--dec-keys=,x"])
    assert "expected SERVABLE=FILE or SERVABLE=FILE:AES-CBC" in str(refused.value)
    assert "tyger" not in str(refused.value)


def test_the_settings_that_are_logged_do_not_say_where_keys_are():
    chosen = settings.read(AgentSettings, ["--dec-keys", "add=/run/tyger"])
    assert settings.describe(chosen)["dec_keys"] == "***"
    assert "tyger" not in repr(chosen)
    assert settings.describe(settings.read(AgentSettings, []))["dec_keys"] == ()


@pytest.mark.parametrize("content", [KEY, KEY + b"\n", bytes(range(16)), b"\n" * 24, bytes(33)[1:]])
def test_a_key_file_holds_the_key_and_perhaps_a_line_feed(tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    (key,) = read_keys([f"add={file}"]).values()
    assert key.reveal() == (content[:-1] if len(content) == 17 else content)


@pytest.mark.parametrize("content", [b"", b"tyger", KEY + b"\r\n", KEY + b"x", KEY * 3])
def test_a_file_without_a_key_is_named_and_what_it_holds_is_not_said(tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    expected = rf"servable 'add': key file {file} holds a key of {len(content)} bytes, expected 16"
    with pytest.raises(LoadFailed, match=expected) as failed:
        read_keys([f"add={file}"])
    assert "tyger" not in failed.value.message


def test_a_missing_key_file_is_named(tmp_path):
    with pytest.raises(LoadFailed, match=r"servable 'add': key file .*none cannot be read: No su"):
        read_keys([f"add={tmp_path}/none"])


def test_a_key_may_come_through_a_pipe():
    reads, writes = os.pipe()
    os.write(writes, KEY)
    os.close(writes)
    try:
        assert read_keys([f"add=/dev/fd/{reads}"])["add"].reveal() == KEY
    finally:
        os.close(reads)


def test_a_servable_has_one_key(tmp_path):
    (tmp_path / "key").write_bytes(KEY)
    with pytest.raises(LoadFailed, match="servable 'add' has two keys"):
        read_keys([f"add={tmp_path}/key", f"add={tmp_path}/key:AES-CBC"])
