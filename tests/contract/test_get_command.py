"""`provider get` as a program, against a server on a real socket: arguments, files, signals, exit statuses."""

import asyncio
import json
import os
import shlex
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from eth_account import Account

from provider.commands.get.plan import MIN_PIECE_BYTES
from provider.testing.child import bare_environ
from tests.support.link_server import LinkServer, Mishap, bytes_of
from tests.support.raw_origin import raw_origin

DID = "did:op:" + "0" * 64
TX = "0x" + "2" * 64
KEY = "11" * 32
SIZE = 2 * MIN_PIECE_BYTES + 777
CONTENT = bytes_of(SIZE)


@dataclass
class Program:
    """Starts the command in a folder of its own. Nothing in its output may show the key."""

    folder: Path
    url: str
    server: LinkServer

    def arguments(self, *more: str) -> list[str]:
        named = ["--key-file", "../key", "--provider", self.url, "--tx", TX, "--service", "one"]
        return ["get", DID, *named, *more]

    async def start(self, *more: str) -> asyncio.subprocess.Process:
        return await self.start_words([sys.executable, "-m", "provider", *self.arguments(*more)])

    async def start_words(self, words: Sequence[str]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *words,
            cwd=self.folder,
            # To read all public authorities would take half of a start, and nothing here is signed by one.
            env={**bare_environ(str(self.folder)), "SSL_CERT_FILE": os.devnull},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def ended(self, process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
        out, err = await process.communicate()
        assert KEY not in (out + err).decode()
        assert "/d/t" not in (out + err).decode(), "a link is a secret"
        return process.returncode, out.decode(), err.decode()

    async def run(self, *more: str) -> tuple[int | None, str, str]:
        return await self.ended(await self.start(*more))

    def files(self) -> dict[str, bytes]:
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in self.folder.rglob("*.*")}


@asynccontextmanager
async def program(server: LinkServer, folder: Path) -> AsyncIterator[Program]:
    (folder / "key").write_text(f"0x{KEY}\n")
    (folder / "here").mkdir()
    async with raw_origin(server) as origin:
        yield Program(folder / "here", origin.url, server)


def play(scene: Callable[[Program], Awaitable[None]], server: LinkServer, folder: Path) -> None:
    async def run() -> None:
        async with program(server, folder) as running:
            await scene(running)

    asyncio.run(run())


async def half(process: asyncio.subprocess.Process) -> None:
    """Return once half of the file is there."""
    assert process.stderr is not None
    seen = b""
    while b"50 %" not in seen:
        line = await process.stderr.readline()
        assert line, seen
        seen += line


def stalling() -> LinkServer:
    """Lets both connections of a run stall. What of this is left, the next run would wait for a minute for."""
    return LinkServer(CONTENT, mishaps=deque([Mishap(cut_after=5 << 20, stalls=True)] * 2))


def test_all_files_come_with_names_that_stay_in_the_folder(tmp_path: Path) -> None:
    names = ("../../a.csv", "/etc/a.csv", ".ssh", "sub/b.csv")

    async def scene(get: Program) -> None:
        status, out, err = await get.run()
        assert status == 0, err
        assert set(get.files()) == {"a.csv", "a-1.csv", "b.csv"}
        assert (get.folder / "ssh").read_bytes() == CONTENT[:1000]
        assert len(out.splitlines()) == 4

    play(scene, LinkServer(CONTENT[:1000], names=names), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"key", "here"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_what_the_printed_command_goes_on_with(tmp_path: Path, number: signal.Signals) -> None:
    async def scene(get: Program) -> None:
        process = await get.start()
        await half(process)
        process.send_signal(number)
        status, _, err = await get.ended(process)
        assert status == 130
        assert "Traceback" not in err
        line = err.splitlines()[-1]
        assert line.endswith(" ".join(get.arguments()))
        assert set(get.files()) == {"data.bin.part", "data.bin.part.json"}
        get.server.mishaps.clear()
        status, out, err = await get.ended(await get.start_words([*shlex.split(line), "--json"]))
        assert status == 0, err
        assert get.files() == {"data.bin": CONTENT}
        assert json.loads(out)["files"][0]["resumedBytes"] >= SIZE // 2

    play(scene, stalling(), tmp_path)


def test_kill_9_leaves_what_another_run_goes_on_with(tmp_path: Path) -> None:
    async def scene(get: Program) -> None:
        process = await get.start()
        await half(process)
        process.kill()
        await process.communicate()
        get.server.mishaps.clear()
        status, out, err = await get.run("--json")
        assert status == 0, err
        assert get.files() == {"data.bin": CONTENT}
        assert json.loads(out)["files"][0]["resumedBytes"] > 0

    play(scene, stalling(), tmp_path)


def test_of_several_files_those_that_are_there_are_kept(tmp_path: Path) -> None:
    server = LinkServer(CONTENT[:1000], names=("a.csv", "b.csv"))

    async def scene(get: Program) -> None:
        (get.folder / "a.csv").write_bytes(bytes(1000))
        status, out, err = await get.run("--json")
        assert status == 0, err
        assert get.files() == {"a.csv": bytes(1000), "b.csv": CONTENT[:1000]}
        assert json.loads(out)["files"][0] == {"index": 0, "path": "a.csv", "kept": True}
        (get.folder / "a.csv").write_bytes(b"mine")
        status, _, err = await get.run()
        assert (status, get.files()["a.csv"]) == (4, b"mine")
        assert "--force" in err

    play(scene, server, tmp_path)


@pytest.mark.parametrize(
    ("output", "path"),
    [("x.bin", "x.bin"), ("new/folder/", "new/folder/data.csv"), (".", "data.csv")],
)
def test_output_is_a_file_or_a_folder(tmp_path: Path, output: str, path: str) -> None:
    async def scene(get: Program) -> None:
        status, out, err = await get.run("-o", output, "--file", "0", "--quiet")
        assert (status, out, err) == (0, "", "")
        assert get.files() == {path: b"day,price\n"}
        assert get.server.asked[0]["fileIndex"] == 0

    play(scene, LinkServer(b"day,price\n", names=("data.csv",)), tmp_path)


def test_a_single_file_that_exists_is_refused(tmp_path: Path) -> None:
    async def scene(get: Program) -> None:
        (get.folder / "data.bin").write_bytes(CONTENT[:10])
        assert (await get.run())[0] == 4
        assert get.files() == {"data.bin": CONTENT[:10]}

    play(scene, LinkServer(CONTENT[:10]), tmp_path)


def test_a_refusal_is_shown_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    async def scene(get: Program) -> None:
        status, _, err = await get.run()
        assert status == 3
        assert err == "provider get: the Provider refuses: Order has [31mexpired\n"

    play(scene, LinkServer(b"", refusal="Order has\n\x1b[31mexpired"), tmp_path)


def test_a_keystore_opens_with_its_password_file(tmp_path: Path) -> None:
    keystore = Account.encrypt(f"0x{KEY}", "secret", kdf="pbkdf2", iterations=10)

    async def scene(get: Program) -> None:
        (tmp_path / "key").write_text(json.dumps(keystore))
        (tmp_path / "password").write_text("secret\n")
        (tmp_path / "wrong").write_text("wrong\n")
        status, _, err = await get.run("--password-file", "../password")
        assert status == 0, err
        assert get.server.asked[0]["consumerAddress"] == Account.from_key(KEY).address
        status, _, err = await get.run("--password-file", "../wrong")
        assert (status, err) == (2, "provider get: ../key: the password is wrong\n")
        status, _, err = await get.run()
        assert status == 2
        assert "--password-file" in err

    play(scene, LinkServer(b"x"), tmp_path)
