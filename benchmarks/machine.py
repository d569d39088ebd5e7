"""What a result has to say about the machine it was measured on."""

import os
import platform
import shutil
import subprocess
from pathlib import Path


def described() -> str:
    """Processor, cores, system and load generator, in words."""
    return (
        f"{os.cpu_count()} cores ({_processor()}), Linux {platform.machine()}, "
        f"Python {platform.python_version()}, {_h2load()}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def _h2load() -> str:
    asked = subprocess.run(["h2load", "--version"], capture_output=True, text=True, check=True)
    return asked.stdout.strip().replace("h2load nghttp2/", "h2load ")


def find_h2load() -> bool:
    """Whether h2load is here; where we may, its Debian package is installed first."""
    if not shutil.which("h2load") and shutil.which("apt-get") and os.geteuid() == 0:
        print("h2load is missing: installing nghttp2-client ...", flush=True)
        for arguments in (["update", "-qq"], ["install", "-y", "-qq", "nghttp2-client"]):
            subprocess.run(["apt-get", *arguments], check=False, stdout=subprocess.DEVNULL)
    return shutil.which("h2load") is not None
