"""What a master reads because a setting says where it is."""

import pytest

from services.master.settings import MasterSettings


def test_the_key_is_the_line_of_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_text("secret-7\n")
    settings = MasterSettings(rest_api_key_file=file)
    assert settings.read_rest_api_key() == "secret-7"
    assert "secret-7" not in repr(settings)
    assert MasterSettings().read_rest_api_key() == ""


@pytest.mark.parametrize("content", [b"", b"\n", "schlüssel".encode(), b"two\nlines"])
def test_what_is_no_key_is_refused_without_being_told(tmp_path, content):
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected one line of ASCII, the key$"):
        MasterSettings(rest_api_key_file=file).read_rest_api_key()
