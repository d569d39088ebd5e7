"""What users of Mindserve import: the client, and the words of servable_config.py."""

__version__ = "0.1.0"
