"""The demo's sandbox for real: what a program in it can do, and what it cannot."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from provider.demo.operator.sandbox import Limits, Outcome, SandboxUnavailable, probe, run_sandboxed

ROOT = Path(__file__).parents[2]

Run = Callable[..., Outcome]


def folder_with(program: str, folder: Path) -> Path:
    for name in ("inputs", "transformations"):
        (folder / name).mkdir(parents=True)
    (folder / "inputs" / "data.csv").write_text("1,2,3\n")
    (folder / "transformations" / "algorithm").write_text(program)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the text of a program; keywords are limits."""
    try:
        asyncio.run(probe(tmp_path / "probe"))
    except SandboxUnavailable as error:
        pytest.skip(f"no sandbox here: {error}")

    def go(program: str, **limits: float) -> Outcome:
        folder = folder_with(program, tmp_path / "job")
        outcome = asyncio.run(run_sandboxed(folder, environ={"GIVEN": "x"}, limits=Limits(**limits)))  # type: ignore[arg-type]
        assert sorted(path.name for path in folder.iterdir()) == ["inputs", "transformations"]
        return outcome

    return go


def test_outputs_and_log_come_back(run: Run) -> None:
    outcome = run(
        "import os\n"
        "text = open('/data/inputs/data.csv').read()\n"
        "open('/data/outputs/sum.txt', 'w').write(str(sum(map(int, text.split(',')))))\n"
        "os.mkdir('/data/outputs/folder')\n"
        "for name in ('/data/inputs/data.csv', '/jail/data/inputs/data.csv', '../inputs/data.csv', 'sum.txt'):\n"
        "    os.symlink(name, '/data/outputs/link to ' + name.replace('/', ' '))\n"
        "print('read', len(text))\n"
    )
    assert (outcome.code, outcome.late, outcome.whole) == (0, False, True)
    assert (outcome.outputs, outcome.log) == ({"sum.txt": b"6"}, b"read 6\n")


def test_program_sees_its_inputs_python_and_nothing_else(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTER_SECRET", "planted")
    (tmp_path / "secret").write_text("planted")
    places = ["/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/1/environ", "/home", "/tmp", "/dev", "/sys"]
    places += [str(tmp_path / "secret"), str(ROOT / "README.md"), "/data/../../etc/passwd"]
    outcome = run(
        "import os, sys\n"
        f"print([place for place in {places!r} if os.path.exists(place)])\n"
        "print(sorted(set(os.environ) - {'LC_CTYPE'}), os.getpid(), os.getuid())\n"
        "print(sorted(os.listdir('/data')), sys.path[0].startswith('/data'))\n"
        "print([fd for fd in range(3, 100) if os.path.exists(f'/dev/fd/{fd}')])\n"
        "for fd in range(3, 100):\n"
        "    try:\n"
        "        os.fstat(fd)\n"
        "        print('open', fd)\n"
        "    except OSError:\n"
        "        pass\n"
    )
    assert outcome.log.decode().splitlines() == [
        "[]",
        "['GIVEN'] 1 65534",
        "['inputs', 'logs', 'outputs', 'transformations'] False",
        "[]",
    ]


def test_inputs_and_everything_else_are_read_only(run: Run) -> None:
    outcome = run(
        "import os, ssl\n"
        "for place in ('/data/inputs/data.csv', '/data/inputs/new', '/new', '/data/new', os.__file__,\n"
        "              '/data/transformations/algorithm', '/data/logs/more'):\n"
        "    try:\n"
        "        open(place, 'a')\n"
        "        print('written', place)\n"
        "    except OSError:\n"
        "        pass\n"
    )
    assert (outcome.code, outcome.log) == (0, b"")


@pytest.mark.parametrize("family", ["AF_INET", "AF_UNIX"])
def test_there_is_no_network(run: Run, family: str) -> None:
    unix = "\0provider-demo-sandbox-test"
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as local:
        local.bind(unix)
        local.listen()
        address: object = unix if family == "AF_UNIX" else listener.getsockname()
        outcome = run(f"import socket\nsocket.socket(socket.{family}).connect({address!r})\n")
        assert outcome.code == 1
        assert b"Network is unreachable" in outcome.log or b"Connection refused" in outcome.log
        for server in (listener, local):
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept()


def test_loop_is_ended_by_its_cpu_seconds(run: Run) -> None:
    outcome = run("print('begun')\nwhile True: pass", cpu_seconds=1)
    assert (outcome.code, outcome.late, outcome.log) == (-signal.SIGKILL, False, b"begun\n")


@pytest.mark.parametrize("first", ["", "import os; os.setsid()", "import signal; signal.signal(15, signal.SIG_IGN)"])
def test_sleeper_is_ended_by_the_clock(run: Run, first: str) -> None:
    outcome = run(f"{first}\nimport time; time.sleep(600)", wall_seconds=0.5)
    assert (outcome.code, outcome.late) == (-signal.SIGKILL, True)
    assert outcome.ending() == "ended by the sandbox: out of time"


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ("bytearray(1 << 30)", b"MemoryError"),
        ("import os; os.fork()", b"BlockingIOError"),
        ("import threading; threading.Thread(target=print).start()", b"can't start new thread"),
        ("import subprocess; subprocess.run(['/bin/true'])", b"Error"),
        ("kept = [open('/data/inputs/data.csv') for _ in range(100)]", b"Too many open files"),
        ("open('/data/outputs/large', 'wb').write(bytes(9 << 20))", b"File too large"),
        ("for n in range(9): open(f'/data/outputs/{n}', 'wb').write(bytes(4 << 20))", b"No space left"),
        ("for n in range(999): open(f'/data/outputs/{n}', 'w')", b"No space left"),
    ],
    ids=["memory", "fork", "thread", "process", "files", "one file", "all files", "many files"],
)
def test_who_takes_too_much_fails(run: Run, program: str, complaint: bytes) -> None:
    outcome = run(program)
    assert outcome.code == 1
    assert complaint in outcome.log
    assert sum(map(len, outcome.outputs.values())) <= Limits().output_bytes


def test_endless_log_is_bounded(run: Run) -> None:
    outcome = run("while True: print('x' * 100_000)", cpu_seconds=5)
    assert outcome.code != 0
    assert 500_000 < len(outcome.log) <= Limits().log_bytes


def test_sparse_files_are_not_handed_over_beyond_the_bound(run: Run) -> None:
    outcome = run("for n in range(9): open(f'/data/outputs/{n}', 'wb').truncate(8 << 20)")
    assert (outcome.code, outcome.whole) == (0, False)
    assert sum(map(len, outcome.outputs.values())) <= Limits().output_bytes


def test_program_gains_no_rights(run: Run) -> None:
    """Neither namespaces of its own, where it could mount, nor signals to others, nor another user."""
    outcome = run(
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None)\n"
        "print(libc.unshare(0x10000000), libc.unshare(0x00020000), libc.mount(b'none', b'/data', b'tmpfs', 0, None))\n"
        "for attempt in (lambda: os.setuid(0), lambda: os.chroot('/data'), lambda: os.kill(2, 0)):\n"
        "    try:\n"
        "        attempt()\n"
        "        print('allowed')\n"
        "    except OSError:\n"
        "        pass\n"
    )
    assert outcome.log == b"-1 -1 -1\n"


# A shell has SIGINT ignored in what it starts in the background, and children inherit that.
LOOP = """
import asyncio, signal, sys
from pathlib import Path
from provider.demo.operator.sandbox import run_sandboxed
signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(run_sandboxed(Path(sys.argv[1]), environ={}))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_program_dies_with_whoever_started_it(run: Run, tmp_path: Path, number: int) -> None:
    folder = folder_with("import time; time.sleep(600)", tmp_path / "job")
    starter = subprocess.Popen([sys.executable, "-c", LOOP, str(folder)], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        started = psutil.Process(starter.pid)
        deadline = time.monotonic() + 60
        while len(family := started.children(recursive=True)) < 2:
            assert time.monotonic() < deadline
            assert starter.poll() is None
        starter.send_signal(number)
        assert starter.wait(60) != 0
        _, alive = psutil.wait_procs(family, timeout=60)
        assert alive == []
    finally:
        starter.kill()


AS_NOBODY = """
import asyncio, pathlib, sys, tempfile
from provider.demo.operator.sandbox import SandboxUnavailable, run_sandboxed
with tempfile.TemporaryDirectory() as place:
    for name in ("inputs", "transformations"):
        pathlib.Path(place, name).mkdir()
    pathlib.Path(place, "transformations", "algorithm").write_text(sys.argv[1])
    try:
        print(asyncio.run(run_sandboxed(pathlib.Path(place), environ={})).log.decode())
    except SandboxUnavailable as error:
        print("unavailable:", error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="the tests run unprivileged as it is")
def test_unprivileged_user_has_the_same_sandbox() -> None:
    """Root makes its namespaces as root, everybody else within a user namespace."""
    # One that everybody can read: the interpreter of the tests may lie in root's home.
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    version = [python or sys.executable, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if python is None or subprocess.run(version, check=False).returncode:
        pytest.skip("no Python of the system")
    program = (
        "import ctypes, os, socket\n"
        "print(os.getpid(), os.getuid(), os.path.exists('/etc/passwd'), ctypes.CDLL(None).unshare(0x10000000))\n"
        "for attempt in (os.fork, lambda: socket.create_connection(('127.0.0.1', 9)), lambda: open('/data/x', 'w'),\n"
        "                lambda: open('/data/transformations/algorithm', 'a')):\n"
        "    try:\n"
        "        attempt()\n"
        "    except OSError as error:\n"
        "        print(error.strerror)\n"
    )
    ran = subprocess.run(
        [python, "-B", "-c", AS_NOBODY, program],
        env={"PYTHONPATH": str(ROOT)},
        cwd="/",
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if ran.stdout.startswith("unavailable") or "No module named 'provider" in ran.stderr:
        pytest.skip(ran.stdout + ran.stderr)
    told = ["1 65534 False -1", "Resource temporarily unavailable", "Network is unreachable"]
    told += ["Read-only file system"] * 2
    assert ran.stdout.strip().splitlines() == told, ran.stderr
