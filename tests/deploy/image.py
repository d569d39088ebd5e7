"""The project's image, built from whatever base and package index this machine has."""

import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.deploy.engine import Engine, NotToBeHad, last_line, need, run

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
BASE_VARIABLE = "MINDSERVE_TEST_PYTHON_IMAGE"
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_INDEX_SETTINGS = ("index-url", "extra-index-url", "trusted-host")


@contextmanager
def built(engine: Engine) -> Iterator[str]:
    """The name of an image of deploy/Dockerfile without extras; it is removed afterwards."""
    tag = f"mindserve-test:{secrets.token_hex(4)}"
    trusting = f"{tag}-base"
    with tempfile.TemporaryDirectory(prefix="mindserve-image-") as folder:
        plain = _base(engine, Path(folder))
        _try_out(engine, plain)
        base = _trusting(engine, plain, trusting, Path(folder))
    engine.say("building the image")
    engine.docker(
        "build", "--network", "host", *_from_the_host(), "--build-arg", f"PYTHON_IMAGE={base}",
        "--build-arg", "EXTRAS=", "-t", tag, "-f", DOCKERFILE, ROOT, seconds=240,
    )  # fmt: skip
    try:
        yield tag
    finally:
        engine.docker("rmi", tag, *([trusting] if base == trusting else []))


def _try_out(engine: Engine, base: str) -> None:
    """Tell a machine that runs no containers from an image of ours that is broken."""
    try:
        engine.docker("run", "--rm", base, "python", "--version")
    except AssertionError as failure:
        raise NotToBeHad(f"the engine cannot run {base}: {last_line(failure)}") from failure


def _base(engine: Engine, folder: Path) -> str:
    """The Dockerfile's own base, or the one named in the environment, or a stand-in."""
    wanted = re.search(r"^ARG PYTHON_IMAGE=(\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    assert wanted
    name = os.environ.get(BASE_VARIABLE) or wanted[1]
    try:
        engine.docker("image", "inspect", name)
    except AssertionError:
        try:
            engine.say(f"pulling {name}")
            engine.docker("pull", name, seconds=120)
        except AssertionError:
            return _stand_in(engine, name, folder)
    return name


def _stand_in(engine: Engine, name: str, folder: Path) -> str:
    """A Debian with its own Python, of the release that ``name`` ends with."""
    release = name.rpartition("-")[2]
    tag = f"mindserve-stand-in:{release}"
    if engine.docker("images", "--quiet", tag).strip():
        return tag
    mirror = _debian_mirror()
    if os.geteuid() or not mirror:
        raise NotToBeHad(
            f"{name} cannot be pulled (set {BASE_VARIABLE} to a base that can),"
            " and only root on a Debian machine could make a stand-in"
        )
    need("debootstrap", "debootstrap", say=engine.say)
    engine.say(f"{name} cannot be pulled: making a stand-in with debootstrap (about a minute)")
    root = folder / "base"
    try:
        run(
            "debootstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-venv",
            release, root, mirror, seconds=240,
        )  # fmt: skip
    except AssertionError as failure:
        raise NotToBeHad(f"no base image: debootstrap: {last_line(failure)}") from failure
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
    archive = folder / "base.tar"
    run("tar", "-C", root, "-cf", archive, ".", seconds=60)
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    engine.docker("import", "--change", f"ENV {path}", archive, tag, seconds=60)
    shutil.rmtree(root)
    archive.unlink()
    return tag


def _debian_mirror() -> str | None:
    """Where this machine's own apt gets Debian from."""
    sources = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    for source in sources:
        text = source.read_text() if source.is_file() else ""
        found = re.search(r"^(?:URIs:|deb(?: \[.*\])?)\s+(https?://\S*/debian/?)\s", text, re.M)
        if found:
            return found[1]
    return None


def _trusting(engine: Engine, base: str, tag: str, folder: Path) -> str:
    """``base`` with the host's certificate bundle, where the host names one for pip."""
    bundle = os.environ.get("PIP_CERT") or _pip_settings().get("cert")
    if not bundle or not Path(bundle).is_file():
        return base
    context = folder / "trusting"
    context.mkdir()
    shutil.copy(bundle, context / "bundle.crt")
    (context / "Dockerfile").write_text(
        f"FROM {base}\nCOPY bundle.crt /etc/ssl/certs/host-bundle.crt\n"
        "ENV PIP_CERT=/etc/ssl/certs/host-bundle.crt\n"
    )
    engine.docker("build", "-t", tag, context)
    return tag


def _from_the_host() -> list[str]:
    """Build arguments that give the build the host's proxies and package indexes."""
    proxies = {name: os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES}
    given = {name: address for name, address in proxies.items() if address}
    settings = _pip_settings()
    for name in _INDEX_SETTINGS:
        # A folder of the host is no index inside the build.
        usable = [
            word
            for word in settings.get(name, "").split()
            if name == "trusted-host" or urlsplit(word).scheme in ("http", "https")
        ]
        if usable:
            given["PIP_" + name.upper().replace("-", "_")] = " ".join(usable)
    return [part for item in given.items() for part in ("--build-arg", "=".join(item))]


def _pip_settings() -> dict[str, str]:
    """The host's pip settings by their bare names; the environment wins."""
    listed = run(sys.executable, "-m", "pip", "config", "list", seconds=30)
    settings: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        settings[key.rpartition(".")[2]] = value.strip("'\"")
    return settings
