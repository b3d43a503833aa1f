"""The inside of the sandbox: `python -I -S sandbox_jail.py <spec>` builds the jail, runs one program, and reports.

It uses Linux namespaces through unshare(2). It imports nothing of the package, and everything else before the root
changes. If the kernel refuses a step, it exits with status 3 and names the step on stderr; then nothing ran.
"""

import base64
import ctypes
import json
import os
import resource
import signal
import sys
from typing import Any

EXIT_REFUSED = 3
NOBODY = 65534
# unshare(2): mount, UTS, IPC, PID and network namespace
NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
NEW_USER = 0x10000000
# mount(2)
READ_ONLY, NO_SUID, NO_DEVICES, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
KEPT_FLAGS = 2 | 4 | 8 | 1024 | 2048  # of a mount that is bound: they may not be dropped (mount_namespaces(7))
DETACH = 2  # umount2(2)
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # prctl(2)
MAX_OUTPUTS = 50

libc = ctypes.CDLL(None, use_errno=True)
Spec = dict[str, Any]


def call(step: str, result: int) -> None:
    """Raise OSError that names the step when a C call failed."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{step}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """mount(2)."""
    words = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    call(f"mount {target}", libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]))


def bind(source: str, target: str) -> None:
    """Show a file or folder of the host read-only at `target`, which is created."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w"):
            pass
    mount(source, target, None, BIND | RECURSIVE)
    kept = os.statvfs(target).f_flag & KEPT_FLAGS
    mount(source, target, None, BIND | REMOUNT | READ_ONLY | NO_SUID | NO_DEVICES | kept)


def enter_namespaces() -> None:
    """Enter new namespaces in which this process may mount. Root needs none for users: it becomes nobody."""
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", libc.unshare(NAMESPACES | (NEW_USER if uid else 0)))
    if uid:
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{NOBODY} {uid} 1")
        write("/proc/self/gid_map", f"{NOBODY} {gid} 1")


def write(path: str, text: str) -> None:
    """Write a file of /proc, in one write."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def build(spec: Spec) -> None:
    """Build a root that holds only `jail/`: the interpreter and its libraries, and /data."""
    stage = spec["stage"]
    mount("none", "/", None, RECURSIVE | PRIVATE)
    mount("tmpfs", stage, "tmpfs", NO_SUID | NO_DEVICES, "size=1m,mode=755")
    jail = f"{stage}/jail"
    os.mkdir(jail)
    for path in spec["shown"]:
        if os.path.islink(path):
            os.makedirs(os.path.dirname(jail + path), exist_ok=True)
            os.symlink(os.readlink(path), jail + path)
        elif os.path.exists(path):
            bind(path, jail + path)
    os.mkdir(f"{jail}/data")
    for name in ("inputs", "transformations"):
        bind(f"{spec['folder']}/{name}", f"{jail}/data/{name}")
    for name, most in (("outputs", spec["output_bytes"]), ("logs", spec["log_bytes"])):
        os.mkdir(f"{jail}/data/{name}")
        mount("tmpfs", f"{jail}/data/{name}", "tmpfs", NO_SUID | NO_DEVICES, f"size={most},nr_inodes=500,mode=755")
    if os.geteuid() == 0:
        os.chown(f"{jail}/data/outputs", NOBODY, NOBODY)
    os.chdir(stage)
    call("pivot_root", libc.syscall(SYS_PIVOT_ROOT[os.uname().machine], b".", b"."))
    call("umount the old root", libc.umount2(b".", DETACH))
    os.chdir("/")
    mount("none", "/", None, REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEVICES)


def become_the_algorithm(spec: Spec, log: int, nothing: int) -> None:
    """In the child, process 1 in there: drop all privileges, then exec."""
    for descriptor, number in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, number)
    os.closerange(3, 1 << 16)
    # The jail is not the root of its mount namespace: user_namespaces(7) then refuses further ones.
    os.chroot("/jail")
    os.chdir("/data")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    call("no_new_privs", libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    call("pdeathsig", libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    for name, most in spec["limits"].items():
        resource.setrlimit(getattr(resource, name), (most, most))
    arguments = [spec["python"], "-I", "-S", "-B", "-u", "/data/transformations/algorithm"]
    os.execve(spec["python"], arguments, spec["environ"])  # noqa: S606


def run(spec: Spec) -> Spec:
    """Build, run to the end or the deadline, and report: status of wait(2), the log, the files."""
    enter_namespaces()
    nothing = os.open("/dev/null", os.O_RDONLY)
    build(spec)
    log = os.open("/jail/data/logs/algorithm.log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    pid = os.fork()
    if pid == 0:
        try:
            become_the_algorithm(spec, log, nothing)
        except OSError as error:
            os.write(1, f"sandbox: {error.strerror}\n".encode())
        finally:
            os._exit(127)
    late = False

    def out_of_time(number: int, _: object) -> None:
        nonlocal late
        late = late or number == signal.SIGALRM
        os.kill(pid, signal.SIGKILL)  # process 1 of its namespace: whatever else lives in there dies with it

    signal.signal(signal.SIGALRM, out_of_time)
    signal.signal(signal.SIGTERM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, spec["wall_seconds"])
    _, status = os.waitpid(pid, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "late": late, **collect(log, spec["output_bytes"])}


def collect(log: int, most_bytes: int) -> Spec:
    """Collect the log and the plain files directly in /data/outputs, by name, `most_bytes` in all."""
    outputs: dict[str, str] = {}
    whole = True
    with os.scandir("/jail/data/outputs") as entries:
        found = sorted((entry for entry in entries if entry.is_file(follow_symlinks=False)), key=lambda one: one.name)
    left = most_bytes
    for entry in found:
        size = entry.stat(follow_symlinks=False).st_size
        if size > left or len(outputs) == MAX_OUTPUTS:
            whole = False
            continue
        with open(entry.path, "rb") as file:
            outputs[os.fsencode(entry.name).decode("utf-8", "replace")] = encoded(file.read(size))
        left -= size
    return {"log": encoded(os.pread(log, os.fstat(log).st_size, 0)), "outputs": outputs, "whole": whole}


def encoded(data: bytes) -> str:
    """Base64 text."""
    return base64.b64encode(data).decode()


def main() -> int:
    """Spec (JSON) as the argument, report (JSON) on standard output."""
    os.umask(0o022)
    call("pdeathsig", libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0))
    try:
        report = run(json.loads(sys.argv[1]))
    except (OSError, KeyError) as error:
        sys.stderr.write(f"{error.strerror if isinstance(error, OSError) else 'unknown machine'}\n")
        return EXIT_REFUSED
    sys.stdout.write(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
