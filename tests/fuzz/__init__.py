"""The native wire against peers that do anything: `python -m tests.fuzz SECONDS`."""
