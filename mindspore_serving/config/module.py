"""Finds the user's ``config/serving_config.py``."""

import sys
from importlib import import_module

_NAME = "config.serving_config"


def serving_config() -> object:
    """The module; raises RuntimeError with the reason when it cannot be imported."""
    try:
        return sys.modules.get(_NAME) or import_module(_NAME)
    except ImportError as failure:
        raise RuntimeError(
            f"Cannot import {_NAME}, expected config/serving_config.py in the folder of the script"
            f" or on PYTHONPATH: {failure}"
        ) from failure
