"""Log lines of scripts, in the original's form and under its environment variables.

GLOG_v: 0 DEBUG, 1 INFO, 2 WARNING (default), 3 ERROR; 4, which MindSpore knows, CRITICAL.
GLOG_logtostderr: 1 (default) writes to standard error; 0 to a file in GLOG_log_dir, and what
is at least GLOG_stderrthreshold (numbers as for GLOG_v, default 2) to standard error as well.
logger_maxBytes (default 52428800), logger_backupCount (default 30): when a file is begun anew
and how many old ones stay. The variables are read once, at the first line.

    [WARNING] SERVING(pid,thread,process):YYYY-MM-DD-HH:MM:SS.mmm.uuu [file:line] function] text
"""

import logging
import os
import sys
import threading
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

__all__ = ["debug", "error", "get_level", "get_log_config", "info", "warning"]

_LEVELS = {
    "0": logging.DEBUG,
    "1": logging.INFO,
    "2": logging.WARNING,
    "3": logging.ERROR,
    "4": logging.CRITICAL,
}
_FOLDER = "GLOG_log_dir"
_DEFAULTS = {"GLOG_v": "2", "GLOG_logtostderr": "1", "GLOG_stderrthreshold": "2"}
_FILE_DEFAULTS = {"logger_maxBytes": "52428800", "logger_backupCount": "30"}

_lock = threading.Lock()
_logger: logging.Logger | None = None
_config: dict[str, str] = {}


class _Formatter(logging.Formatter):
    """A line as the original wrote it."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (logging's own name)
        del datefmt
        second, fraction = divmod(int(record.created * 1_000_000), 1_000_000)
        at = time.strftime("%Y-%m-%d-%H:%M:%S", time.localtime(second))
        return f"{at}.{fraction // 1000:03d}.{fraction % 1000:03d}"


_FORMAT = (
    "[%(levelname)s] SERVING(%(process)d,%(threadName)s,%(processName)s):%(asctime)s"
    " [%(filename)s:%(lineno)d] %(funcName)s] %(message)s"
)


def debug(msg: str, *args: Any) -> None:
    """Log ``msg % args`` at level DEBUG."""
    _serving_logger().debug(msg, *args, stacklevel=2)


def info(msg: str, *args: Any) -> None:
    """Log ``msg % args`` at level INFO."""
    _serving_logger().info(msg, *args, stacklevel=2)


def warning(msg: str, *args: Any) -> None:
    """Log ``msg % args`` at level WARNING."""
    _serving_logger().warning(msg, *args, stacklevel=2)


def error(msg: str, *args: Any) -> None:
    """Log ``msg % args`` at level ERROR."""
    _serving_logger().error(msg, *args, stacklevel=2)


def get_level() -> str:
    """The level in use as GLOG_v names it: "0" to "4"."""
    return get_log_config()["GLOG_v"]


def get_log_config() -> dict[str, str]:
    """The variables in use, by name; raises as the first log line would."""
    _serving_logger()
    return dict(_config)


def _serving_logger() -> logging.Logger:
    global _logger, _config
    with _lock:
        if _logger is None:
            config = _read_config()
            logger = logging.Logger("SERVING", _LEVELS[config["GLOG_v"]])
            for handler in _handlers(config):
                handler.setFormatter(_Formatter(_FORMAT))
                logger.addHandler(handler)
            _logger, _config = logger, config
        return _logger


def _read_config() -> dict[str, str]:
    """Checked variables; raises ValueError naming the one that is wrong."""
    config = {name: os.environ.get(name, default) for name, default in _DEFAULTS.items()}
    for name in ("GLOG_v", "GLOG_stderrthreshold"):
        if config[name] not in _LEVELS:
            raise ValueError(f"Environment variable {name} should be 0, 1, 2, 3 or 4")
    if config["GLOG_logtostderr"] not in ("0", "1"):
        raise ValueError("Environment variable GLOG_logtostderr should be 0 or 1")
    if config["GLOG_logtostderr"] == "1":
        return config
    config |= {name: os.environ.get(name, value) for name, value in _FILE_DEFAULTS.items()}
    for name in _FILE_DEFAULTS:
        if not config[name].isdecimal():
            raise ValueError(f"Environment variable {name} should be a number")
    config[_FOLDER] = os.environ.get(_FOLDER, "")
    if not config[_FOLDER]:
        raise ValueError(f"Environment variable {_FOLDER} should be set when GLOG_logtostderr is 0")
    return config


def _handlers(config: dict[str, str]) -> list[logging.Handler]:
    errors = logging.StreamHandler(sys.stderr)
    if config["GLOG_logtostderr"] == "1":
        return [errors]
    errors.setLevel(_LEVELS[config["GLOG_stderrthreshold"]])
    folder = Path(config[_FOLDER])
    folder.mkdir(parents=True, exist_ok=True)
    # A file per process: two that turn one file over would lose each other's lines.
    file = RotatingFileHandler(
        folder / f"serving_{os.getpid()}.log",
        maxBytes=int(config["logger_maxBytes"]),
        backupCount=int(config["logger_backupCount"]),
        encoding="utf-8",
    )
    return [file, errors]
