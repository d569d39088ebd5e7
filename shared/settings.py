"""Settings of a service: command line over environment over TOML file over default.

A service writes one subclass of ``ServiceSettings``, a docstring under each
field, and calls ``load``. Unknown keys are errors that name the nearest known one.
"""

import argparse
import difflib
import json
import os
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared import logs
from shared.addresses import HostPort
from shared.membership import DEFAULT_LEASE_SECONDS
from shared.wire.tls import PeerTls

# What --help calls values, by the type that pydantic-settings names.
_METAVARS = {
    "str": "TEXT", "float": "NUMBER", "int": "NUMBER", "Path": "PATH", "tuple[str,...]": "A,B,...",
    "tuple[Path,...]": 'PATH|["PATH",...]',
}  # fmt: skip
_CONFIG_FLAG = "--config"
_CONFIG_VARIABLE = "MINDSERVE_CONFIG"


def _check_address(text: str) -> str:
    HostPort.parse(text)
    return text


def _split(value: Any) -> Any:
    """``a,b`` or a list of such texts as a flat tuple of names."""
    texts = [value] if isinstance(value, str) else value
    return tuple(part.strip() for text in texts for part in str(text).split(",") if part.strip())


def _one_or_json(value: Any) -> Any:
    """One path as it is, or an array of JSON with several."""
    if not isinstance(value, str):
        return value
    if not value.startswith("["):
        return (value,) if value else ()
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('expected one path, or several as ["PATH", "PATH"]') from None


def _check_front(text: str) -> str:
    return text if text.startswith("unix:") and text != "unix:" else _check_address(text)


Address = Annotated[str, AfterValidator(_check_address)]
"""HOST:PORT."""
FrontAddress = Annotated[str, AfterValidator(_check_front)]
"""HOST:PORT or unix:PATH."""
OptionalAddress = Annotated[str, AfterValidator(lambda text: text and _check_address(text))]
"""HOST:PORT, or empty for none."""
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Several names, separated by commas."""
Paths = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_one_or_json)]
"""One path, or several as a JSON array: paths may hold any character."""
Addresses = Annotated[Names, AfterValidator(lambda many: tuple(map(_check_address, many)))]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


def _add_argument(parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> argparse.Action:
    """Calls values what people call them."""
    if "metavar" in kwargs:
        kwargs["metavar"] = _METAVARS.get(kwargs["metavar"], kwargs["metavar"])
    return parser.add_argument(*args, **kwargs)


class SettingsError(Exception):
    """Settings that cannot be used, with every reason on a line of its own."""


class ServiceSettings(BaseSettings):
    """What every service can be told."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_exit_on_error=True,
    )
    service: ClassVar[str]
    _file_section: ClassVar[Mapping[str, Any]] = {}

    log_level: logs.Level = "info"
    """Least severe log lines to print."""
    log_format: logs.Format = "console"
    """console for people, json for collectors."""
    lease_seconds: Seconds = DEFAULT_LEASE_SECONDS
    """How long a silent member stays a member of this service."""
    wire: Literal["native", "grpcio"] = "native"
    """What carries calls: our own HTTP/2, or gRPC's own library, which costs more per call."""
    peer_tls_certificate: Path | None = None
    """Who this service is among the others (PEM); with it, services speak mutual TLS alone."""
    peer_tls_key: Path | None = None
    """The certificate's key (PEM), without a password."""
    peer_tls_ca: Path | None = None
    """Authorities (PEM) of all services: whoever has no certificate of theirs is turned away."""
    peer_tls_name: str = ""
    """What the certificates of the others say; empty: the host of the address that is called."""
    drain_seconds: Seconds = 30.0
    """How long accepted work may take to finish after SIGTERM."""
    stop_with_stdin: bool = False
    """Drain and stop when standard input closes, so that no service outlives its parent."""

    @model_validator(mode="after")
    def _check_peer_tls(self) -> Self:
        files = (self.peer_tls_certificate, self.peer_tls_key, self.peer_tls_ca)
        if any(files) and not all(files):
            raise ValueError("peer_tls_certificate, peer_tls_key and peer_tls_ca come together")
        if self.peer_tls_name and not any(files):
            raise ValueError("peer_tls_name is of no use without peer_tls_certificate")
        return self

    @property
    def peer_tls(self) -> PeerTls | None:
        """Whether services speak TLS with one another, and with which files."""
        certificate, key, ca = self.peer_tls_certificate, self.peer_tls_key, self.peer_tls_ca
        if certificate is None or key is None or ca is None:
            return None
        return PeerTls(certificate, key, ca, self.peer_tls_name)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keyword arguments, then environment, then the TOML file's table."""
        return (
            init_settings,
            env_settings,
            InitSettingsSource(settings_cls, dict(cls._file_section)),
        )


Loaded = TypeVar("Loaded", bound=ServiceSettings)


def load(settings_class: type[Loaded], argv: Sequence[str] | None = None) -> Loaded:
    """Read the settings of one service; prints help or the reasons and exits on demand.

    ``argv`` defaults to the command line of this process. Ends with status 2 and
    a line per reason when settings are unusable.
    """
    try:
        return read(settings_class, list(sys.argv[1:] if argv is None else argv))
    except SettingsError as reasons:
        print(reasons, file=sys.stderr)
        sys.exit(2)


def read(settings_class: type[Loaded], argv: list[str]) -> Loaded:
    """Like ``load``, but raises SettingsError instead of ending the process."""
    prefix = _prefix(settings_class)
    config, argv = _take_config(argv)
    section = _read_section(settings_class, config) if config else {}
    known = set(settings_class.model_fields)
    _refuse_unknown("setting", section, known, where=str(config))
    _refuse_unknown("option", (a.split("=")[0] for a in argv if a.startswith("--")), _flags(known))
    _refuse_unknown(
        "environment variable",
        (name for name in os.environ if name.startswith(prefix)),
        {prefix + name.upper() for name in known},
    )
    # A subclass of the moment carries the file's table, so that the settings
    # object is still built by one constructor call.
    with_file: type[Loaded] = type(
        settings_class.__name__, (settings_class,), {"_file_section": section}
    )
    with_file.model_config["env_prefix"] = prefix
    parser = argparse.ArgumentParser(
        prog=f"python -m services.{settings_class.service}",
        description=settings_class.__doc__,
        epilog=f"Every option can also be set as {prefix}NAME in the environment, or as a key of "
        f"[{settings_class.service}] in a TOML file. The command line wins, then the environment.",
        allow_abbrev=False,
    )
    parser.add_argument(
        _CONFIG_FLAG, metavar="FILE", help=f"TOML file to read (also {_CONFIG_VARIABLE})"
    )
    command_line: CliSettingsSource[argparse.ArgumentParser] = CliSettingsSource(
        with_file, root_parser=parser, cli_parse_args=argv, add_argument_method=_add_argument
    )
    try:
        settings: Loaded = with_file(_cli_settings_source=command_line)
    except ValidationError as failure:
        secret = {name for name, field in settings_class.model_fields.items() if not field.repr}
        raise SettingsError("\n".join(_reasons(failure, secret))) from None
    return settings


def describe(settings: ServiceSettings) -> dict[str, Any]:
    """The effective settings for the log; secrets, and fields without repr, are masked."""
    return {
        name: "***" if isinstance(value, SecretStr) or (value and not field.repr) else value
        for name, field in type(settings).model_fields.items()
        for value in (getattr(settings, name),)
    }


def _prefix(settings_class: type[ServiceSettings]) -> str:
    return f"MINDSERVE_{settings_class.service.upper()}_"


def _flags(names: Iterable[str]) -> set[str]:
    flags = {"--" + name.replace("_", "-") for name in names}
    return flags | {"--no-" + flag.removeprefix("--") for flag in flags} | {"--help"}


def _take_config(argv: list[str]) -> tuple[Path | None, list[str]]:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(_CONFIG_FLAG, default=os.environ.get(_CONFIG_VARIABLE))
    found, rest = parser.parse_known_args(argv)
    return (Path(found.config) if found.config else None), rest


def _read_section(settings_class: type[ServiceSettings], config: Path) -> Mapping[str, Any]:
    try:
        tables = tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as failure:
        raise SettingsError(f"{config}: cannot be read: {failure.strerror}") from failure
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise SettingsError(f"{config}: not a TOML file: {failure}") from failure
    section = tables.get(settings_class.service, {})
    if not isinstance(section, dict):
        raise SettingsError(f"{config}: [{settings_class.service}] must be a table")
    return section


def _refuse_unknown(kind: str, given: Iterable[str], known: set[str], *, where: str = "") -> None:
    reasons = []
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else "; --help lists the known ones"
            reasons.append(f"{where + ': ' if where else ''}unknown {kind} {name}{hint}")
    if reasons:
        raise SettingsError("\n".join(reasons))


def _reasons(failure: ValidationError, secret: Set[str]) -> Iterable[str]:
    for error in failure.errors():
        name = ".".join(str(part) for part in error["loc"])
        reason = error["msg"].removeprefix("Value error, ")
        if not name:
            yield f"settings: {reason}"
            continue
        given = repr(error["input"])
        got = "" if given in reason or name in secret else f", got {given}"
        yield f"setting {name}: {reason}{got}"
