"""`provider index export | import`: the index of one host goes on on another."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.log_node import CHAIN_ID, LogNode, listening
from provider.__main__ import main
from provider.assets.index_copy import export_index, import_index
from provider.assets.index_sql import open_index
from provider.assets.index_store import IndexStore
from provider.errors import StoreError
from tests.support.made_up_chain import FINALITY, is_known, scan_of

HEAD = 5_000


@pytest.fixture
def node() -> LogNode:
    made = LogNode(head=HEAD)
    for number in range(100):
        made.publish(number * 45, number)
    return made


def nft(number: int) -> str:
    return f"0x{number + 1:040x}"


async def read(node: LogNode, path: Path) -> None:
    async with scan_of(node, path) as (scan, _):
        assert await scan.run()


@pytest.mark.gen_test(timeout=60)
async def test_the_next_host_reads_on_where_the_copy_ends(node: LogNode, tmp_path: Path) -> None:
    async with listening(node):
        await read(node, tmp_path / "first")
        (told,) = export_index(tmp_path / "first", tmp_path / "copy")
        assert (told.chain_id, told.last_block, told.data_nfts) == (CHAIN_ID, HEAD, 100)
        (taken,) = import_index(tmp_path / "copy", tmp_path / "second")
        assert taken == told
        node.head += 100
        late = node.publish(HEAD + 50, 1000)
        node.asked.clear()
        async with scan_of(node, tmp_path / "second") as (scan, store):
            assert await scan.run()
            assert min(first for first, _ in node.asked) == HEAD - FINALITY + 1
            assert {await is_known(store, nft(number)) for number in range(100)} == {True}
            assert await is_known(store, late)


@pytest.mark.gen_test(timeout=60)
async def test_blocks_of_the_copy_that_are_no_longer_in_the_chain_are_read_again(node: LogNode, tmp_path: Path) -> None:
    async with listening(node):
        await read(node, tmp_path / "first")
        export_index(tmp_path / "first", tmp_path / "copy")
        import_index(tmp_path / "copy", tmp_path / "second")
        node.reorganise(2_000)
        async with scan_of(node, tmp_path / "second") as (scan, store):
            assert await scan.run()
            assert {await is_known(store, nft(number)) for number in range(44)} == {True}
            assert {await is_known(store, nft(number)) for number in range(45, 100)} == {False}


@pytest.mark.gen_test(timeout=60)
async def test_a_server_that_runs_takes_over_what_was_imported(node: LogNode, tmp_path: Path) -> None:
    async with listening(node):
        await read(node, tmp_path / "first")
        export_index(tmp_path / "first", tmp_path / "copy")
        async with scan_of(node, tmp_path / "second", batch_blocks=10) as (scan, store):
            assert not await scan.run(budget_seconds=0.02)
            number, _ = await store.changes(None)
            import_index(tmp_path / "copy", tmp_path / "second")
            _, changed = await store.changes(number)
            assert changed is None or len(changed) == 100
            assert await is_known(store, nft(99))
            node.asked.clear()
            assert await scan.run()
            assert min(first for first, _ in node.asked) >= HEAD - FINALITY + 1
            assert scan.behind == 0


@pytest.mark.gen_test(timeout=60)
async def test_an_index_that_is_as_far_is_left_alone(node: LogNode, tmp_path: Path) -> None:
    async with listening(node):
        await read(node, tmp_path / "first")
        export_index(tmp_path / "first", tmp_path / "copy")
        node.head += 10
        node.publish(HEAD + 5, 1000)
        await read(node, tmp_path / "first")
        (left,) = import_index(tmp_path / "copy", tmp_path / "first")
        assert not left.is_taken
        store = IndexStore(tmp_path / "first")
        assert await is_known(store, nft(1000))
        await store.close()


@pytest.mark.gen_test(timeout=60)
async def test_an_index_of_another_factory_is_left_alone(node: LogNode, tmp_path: Path) -> None:
    async with listening(node):
        await read(node, tmp_path / "first")
    export_index(tmp_path / "first", tmp_path / "copy")
    store = IndexStore(tmp_path / "second")
    await store.begin(CHAIN_ID, factory="0x" + "11" * 20, start_block=0)
    (left,) = import_index(tmp_path / "copy", tmp_path / "second")
    assert not left.is_taken
    await store.close()


def make_index(path: Path) -> None:
    open_index(path, busy_timeout_seconds=1).close()


def test_a_copy_never_replaces_a_file_and_a_failed_one_leaves_none(tmp_path: Path) -> None:
    make_index(tmp_path / "index")
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(StoreError):
        export_index(tmp_path / "index", tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine"
    with pytest.raises(StoreError):
        export_index(tmp_path / "index", tmp_path / "missing" / "copy")
    with pytest.raises(StoreError):
        export_index(tmp_path / "none", tmp_path / "copy")
    assert {path.name for path in tmp_path.iterdir()} <= {"index", "index-wal", "index-shm", "notes"}


@pytest.mark.parametrize("kind", ["missing", "text", "other tables", "views", "cut", "words for numbers"])
def test_what_is_no_copy_is_refused_and_changes_nothing(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "source"
    if kind == "text":
        source.write_text("precious notes " * 1000)
    elif kind != "missing":
        with closing(sqlite3.connect(source)) as connection:
            connection.execute("PRAGMA user_version = 1")
            if kind == "other tables":
                connection.execute("CREATE TABLE notes (text TEXT)")
            elif kind == "views":
                for table in ("index_scans", "index_anchors", "index_nfts", "index_events", "index_changes"):
                    connection.execute(f"CREATE VIEW {table} AS SELECT 1")
    if kind == "cut":
        source.unlink()
        make_index(tmp_path / "whole")
        with closing(open_index(tmp_path / "whole", busy_timeout_seconds=1)) as connection:
            rows = [(1, number, number, "x", "t", 0, 0, b"", b"d" * 4000) for number in range(200)]
            connection.executemany("INSERT INTO index_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        export_index(tmp_path / "whole", source)
        source.write_bytes(source.read_bytes()[:100_000])
    if kind == "words for numbers":
        source.unlink()
        make_index(source)
        with closing(sqlite3.connect(source)) as connection:
            connection.execute("INSERT OR REPLACE INTO index_scans VALUES (1, 'f', 0, '\x1b[31mfar')")
            connection.commit()
    with pytest.raises(StoreError) as caught:
        import_index(source, tmp_path / "index")
    assert caught.value.detail
    assert not (tmp_path / "index").exists()


def test_the_command_writes_and_reads_the_index_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NETWORK_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PROVIDER_PRIVATE_KEY", "0x" + "01" * 32)
    monkeypatch.setenv("STORAGE_PATH", str(tmp_path / "a.db"))
    make_index(tmp_path / "a.db.index")
    with closing(open_index(tmp_path / "a.db.index", busy_timeout_seconds=1)) as connection:
        connection.execute("INSERT INTO index_scans VALUES (137, '0xfa', 0, 1234)")
    copy = str(tmp_path / "copy")
    assert main(["index", "export", copy]) == 0
    assert capsys.readouterr().out == "chain 137: 0 data NFTs up to block 1234\n"
    assert main(["index", "export", copy]) == 1
    assert "exists already" in capsys.readouterr().err
    monkeypatch.setenv("STORAGE_PATH", str(tmp_path / "b.db"))
    assert main(["index", "import", copy]) == 0
    assert capsys.readouterr().out == "chain 137: 0 data NFTs up to block 1234\n"
    assert main(["index", "import", copy]) == 0
    assert "(left: " in capsys.readouterr().out
