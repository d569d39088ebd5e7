"""The YAML files of MindSpore's llm-serving: ``ServingConfig``, ``check_valid_config``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mindspore_serving.config.language_model import LanguageModelConfig

__all__ = ["ServingConfig", "check_valid_config"]


class ServingConfig(dict[str, Any]):
    """What YAML files say, as attributes; what they do not say is None.

    Raises RuntimeError for a file that cannot be read or is no mapping.
    """

    def __init__(self, *files: str) -> None:
        super().__init__()
        for file in files:
            self._take(_read(Path(file)))

    def _take(self, content: Mapping[Any, Any]) -> None:
        for key, value in content.items():
            if isinstance(value, Mapping):
                part = ServingConfig()
                part._take(value)
                self[str(key)] = part
            else:
                self[str(key)] = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what copy and pickle ask for
            raise AttributeError(name)
        return self.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]


def check_valid_config(config: ServingConfig) -> bool:
    """Whether it can be served; if not, a line that begins with ERROR says why."""
    try:
        LanguageModelConfig.of_yaml(config)
    except RuntimeError as failure:
        print(f"ERROR: {failure}", flush=True)
        return False
    return True


def _read(path: Path) -> Mapping[Any, Any]:
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as failure:
        raise RuntimeError(f"Cannot read config file '{path}': {failure.strerror}") from None
    except yaml.YAMLError as failure:
        raise RuntimeError(f"Config file '{path}' is no YAML: {failure}") from None
    if not isinstance(content, Mapping):
        raise RuntimeError(f"Config file '{path}': expected sections, got {content!r:.40}")
    return content
