"""The conditions of a measurement: processor, kernel, versions, commit, load."""

import os
import platform
import ssl
import subprocess
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("tornado", "uvloop", "coincurve", "cryptography", "orjson")
MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})


def facts() -> list[tuple[str, str]]:
    """Return name and value of everything that does not change during a run."""
    cores = len(os.sched_getaffinity(0))
    return [
        ("processor", f"{_processor()}, {cores} core{'s' if cores != 1 else ''}"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("python", interpreter()),
        ("packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)),
        ("commit", commit()),
    ]


def interpreter_name() -> str:
    """Return a short name of this interpreter, as in `3.13.5 optimised, OpenSSL 3.5.9`."""
    library = " ".join(ssl.OPENSSL_VERSION.split()[:2])
    return f"{platform.python_version()}{' optimised' if is_optimised() else ''}, {library}"


def interpreter() -> str:
    """Return Python's version, and whether it was built with profile-guided optimisation.

    Without it, a request costs more.
    """
    build = "with" if is_optimised() else "WITHOUT"
    return f"{platform.python_version()}, built {build} profile-guided optimisation"


def is_optimised() -> bool:
    """Return whether this interpreter was built with profile-guided optimisation."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    # Debian and Fedora optimise by rules of their own. Both keep the wheels of pip outside of Python.
    return "--enable-optimizations" in arguments or "--with-wheel-pkg-dir" in arguments


def load_average() -> str:
    """Return the load of the last minute. Above the number of our own busy processes (two), others were working too."""
    return f"{os.getloadavg()[0]:.2f}"


def commit() -> str:
    """Return the short hash of the commit, with `+` if files were changed since; `unknown` outside a clone."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        return name + ("+" if _git("status", "--porcelain", "--untracked-files=no", "--", "provider") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def file_system(folder: Path) -> str:
    """Return the type of the file system of a folder; `unknown` without /proc/mounts."""
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
