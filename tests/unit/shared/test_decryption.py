"""A key that no text shows."""

import pytest

from shared.decryption import DecryptionKey

KEY = b"0123456789ABCDEF"


def test_no_text_of_a_key_shows_it():
    key = DecryptionKey(KEY, "AES-CBC")
    for text in (repr(key), str(key), f"{key}", repr([key]), repr({"key": key})):
        assert "0123" not in text
        assert "AES-CBC" in text


@pytest.mark.parametrize("length", [0, 1, 15, 17, 31, 33])
def test_a_key_has_a_length_of_aes(length):
    with pytest.raises(ValueError, match=f"a key of {length} bytes, expected 16, 24 or 32") as odd:
        DecryptionKey(b"k" * length)
    assert "kk" not in str(odd.value)


def test_what_is_no_mode_is_not_repeated():
    with pytest.raises(ValueError, match="the mode of a key is AES-GCM or AES-CBC") as odd:
        DecryptionKey(KEY, "fearful symmetry")
    assert "symmetry" not in str(odd.value)


def test_wiping_overwrites_the_memory_that_was_given():
    memory = bytearray(KEY)
    key = DecryptionKey(memory)
    assert key.reveal() == KEY
    key.wipe()
    assert memory == bytes(16)
    assert key.reveal() == bytes(16)


def test_a_key_is_the_same_with_the_same_mode_and_bytes():
    key = DecryptionKey(KEY)
    assert key.is_same_as(DecryptionKey(bytearray(KEY), "AES-GCM"))
    assert not key.is_same_as(DecryptionKey(KEY, "AES-CBC"))
    assert not key.is_same_as(DecryptionKey(KEY[::-1]))
