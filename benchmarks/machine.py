"""What the figures were measured on: processor, kernel, versions, commit, load."""

import os
import platform
import subprocess
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tornado", "uvloop", "coincurve", "cryptography", "orjson")
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})


def facts() -> list[tuple[str, str]]:
    """Name and value of everything that does not change during a run."""
    cores = len(os.sched_getaffinity(0))
    return [
        ("processor", f"{_processor()}, {cores} core{'s' if cores != 1 else ''}"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("python", interpreter()),
        ("packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)),
        ("commit", commit()),
    ]


def interpreter() -> str:
    """Version of Python, and whether it was built with profile-guided optimisation: without it a request costs more."""
    is_optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    build = "with" if is_optimised else "WITHOUT"
    return f"{platform.python_version()}, built {build} profile-guided optimisation"


def load_average() -> str:
    """Load of the last minute; above the number of our own busy processes (two) somebody else was working too."""
    return f"{os.getloadavg()[0]:.2f}"


def commit() -> str:
    """Short hash of the commit, with `+` when files were changed since; `unknown` outside a clone."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        return name + ("+" if _git("status", "--porcelain", "--untracked-files=no", "--", "provider") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def file_system(folder: Path) -> str:
    """Type of the file system that holds a folder, `unknown` without /proc/mounts."""
    best, kind = "", "unknown"
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return kind
    path = str(folder.resolve())
    for line in mounts:
        point, name = line.split()[1:3]
        if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, name
    return kind


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()
