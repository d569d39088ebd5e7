"""What a result has to say about the machine it was measured on."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

GENERATORS = {"h2load": "nghttp2-client", "wrk": "wrk"}
"""Load generators, and the Debian packages that they come with."""


def described(*generators: str) -> str:
    """Processor, cores, system and the load generators that were at work, in words."""
    return ", ".join(
        (
            f"{os.cpu_count()} cores ({_processor()})",
            f"Linux {platform.machine()}",
            f"Python {platform.python_version()}",
            *(f"{each} {_version(each)}" for each in generators),
        )
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def _version(generator: str) -> str:
    """From its first words: ``h2load nghttp2/1.52.0``, ``wrk debian/4.1.0-3 [epoll] ...``."""
    asked = subprocess.run([generator, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"\w+ (?:\w+/)?(\d+(?:\.\d+)*)", asked.stdout)
    return found[1] if found else "of an unknown version"


def missing(*generators: str) -> str:
    """What is not here, in words; where we may, Debian's packages are installed first."""
    absent = [each for each in generators if not shutil.which(each)]
    if absent and shutil.which("apt-get") and os.geteuid() == 0:
        packages = [GENERATORS[each] for each in absent]
        print(f"{', '.join(absent)} missing: installing {' '.join(packages)} ...", flush=True)
        for arguments in (["update", "-qq"], ["install", "-y", "-qq", *packages]):
            subprocess.run(["apt-get", *arguments], check=False, stdout=subprocess.DEVNULL)
    return "; ".join(
        f"{each} is missing, which comes with the package {GENERATORS[each]}"
        for each in generators
        if not shutil.which(each)
    )
