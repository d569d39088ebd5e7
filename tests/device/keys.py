"""Keys of the encrypted models that ``tests.device.models`` exports."""

KEYS = {
    "AES-GCM": b"tyger-tyger-brng",
    "AES-CBC": b"in-the-forests-of-the-night-what",
}
WRONG = b"frame-thy-fearfu"
SEALED = {mode: f"sealed_{mode[-3:].lower()}" for mode in KEYS}
"""File names by mode."""
