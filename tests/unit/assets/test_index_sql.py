"""The statements of the index on a real SQLite file; one connection stands for one process."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from provider.assets import index_sql as sql
from provider.assets.index_records import EventRecord, NftRecord, Page, SealedDocument
from provider.errors import StoreError
from provider.sqlite import prove_writable

CHAIN = 5
FACTORY = "0xFactory"


def nft(name: str, block: int = 1) -> NftRecord:
    return NftRecord(f"nft-{name}", f"did-{name}", block)


def event(name: str, block: int, *, state: int = 0, data: bytes | None = b"sealed", index: int = 0) -> EventRecord:
    document = None if data is None else SealedDocument(2, data, b"hash of " + data)
    return EventRecord(f"nft-{name}", block, index, f"tx-{block}", state, document)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = sql.open_index(tmp_path / "index", busy_timeout_seconds=1.0)
    sql.begin(opened, CHAIN, FACTORY, 1)
    yield opened
    opened.close()


def record(
    connection: sqlite3.Connection,
    first: int,
    last: int,
    *records: NftRecord | EventRecord,
    base: tuple[int, str] | str | None = "newest",
    prune_below: int = 0,
    chain_id: int = CHAIN,
) -> bool:
    if base == "newest":
        anchors = sql.begin(connection, chain_id, FACTORY, 1).anchors
        base = anchors[0] if anchors else None
    page = Page(
        chain_id=chain_id,
        from_block=first,
        to_block=last,
        block_hash=f"hash-{last}",
        base=base,  # type: ignore[arg-type]
        is_linked=True,
        nfts=tuple(item for item in records if isinstance(item, NftRecord)),
        events=tuple(item for item in records if isinstance(item, EventRecord)),
    )
    return sql.record(connection, page, prune_below)


def test_newest_document_and_newest_state_count(connection) -> None:
    record(connection, 1, 10, nft("a"), event("a", 2, data=b"old"), event("a", 3, data=b"new", index=4))
    record(connection, 11, 20, event("a", 3, data=b"older", index=1), event("a", 15, state=4, data=None))
    found = sql.find(connection, "did-a")
    assert found is not None
    assert (found.document.data, found.state, found.data_nft, found.chain_id) == (b"new", 4, "nft-a", CHAIN)


def test_events_of_unknown_nfts_are_left_out(connection) -> None:
    record(connection, 1, 10, nft("a"), event("b", 2))
    record(connection, 11, 20, nft("b", 11))
    assert sql.find(connection, "did-b") is None
    assert sql.find(connection, "did-c") is None


def test_nft_of_another_chain_does_not_vouch(connection) -> None:
    sql.begin(connection, 6, FACTORY, 1)
    record(connection, 1, 10, nft("a"))
    record(connection, 1, 10, event("a", 2), chain_id=6)
    assert sql.find(connection, "did-a") is None


def test_page_replaces_what_was_recorded_in_its_blocks_only(connection) -> None:
    record(connection, 1, 10, nft("a"), nft("b", 9), event("a", 5, data=b"keep"), event("a", 9, data=b"gone"))
    record(connection, 8, 12)
    found = sql.find(connection, "did-a")
    assert found is not None
    assert found.document.data == b"keep"
    record(connection, 13, 13, event("b", 13))
    assert sql.find(connection, "did-b") is None


@pytest.mark.parametrize(
    ("first", "base"),
    [(12, (10, "hash-10")), (11, (10, "other")), (11, None)],
    ids=["gap", "another branch", "begun anew by somebody"],
)
def test_page_that_does_not_follow_is_refused(connection, first: int, base: tuple[int, str] | None) -> None:
    assert record(connection, 1, 10)
    assert not record(connection, first, 20, base=base)
    assert sql.begin(connection, CHAIN, FACTORY, 1).last_block == 10


def test_rewind_forgets_all_above(connection) -> None:
    record(connection, 1, 10, nft("a"), event("a", 5))
    record(connection, 11, 20, nft("b", 12), event("a", 15, state=3), event("b", 16))
    sql.rewind(connection, CHAIN, 10)
    assert sql.begin(connection, CHAIN, FACTORY, 1) == sql.Scan(10, ((10, "hash-10"),))
    found = sql.find(connection, "did-a")
    assert found is not None
    assert found.state == 0
    assert sql.find(connection, "did-b") is None


@pytest.mark.parametrize(
    ("factory", "start_block", "expected"), [(FACTORY, 1, 10), (FACTORY, 5, 10), ("0xOther", 1, 0), (FACTORY, 0, -1)]
)
def test_other_factory_or_earlier_start_begins_anew(connection, factory: str, start_block: int, expected: int) -> None:
    record(connection, 1, 10, nft("a"), event("a", 5))
    assert sql.begin(connection, CHAIN, factory, start_block).last_block == expected
    assert (sql.find(connection, "did-a") is not None) == (expected == 10)


def test_changes_name_what_is_new_replaced_or_gone(connection) -> None:
    number, _ = sql.changes(connection, 0)
    record(connection, 1, 10, nft("a"), nft("b"), event("a", 5), event("b", 6))
    number, changed = sql.changes(connection, number)
    assert sorted(changed or ()) == ["did-a", "did-b"]
    record(connection, 1, 10, nft("a"), nft("b"), event("a", 5), event("b", 6))
    assert sql.changes(connection, number) == (number, ())
    record(connection, 1, 10, nft("a"), nft("b"), event("a", 5), event("b", 6, data=b"other"))
    number, changed = sql.changes(connection, number)
    assert changed == ("did-b",)
    sql.rewind(connection, CHAIN, 5)
    assert sql.changes(connection, number)[1] == ("did-b",)


def test_more_changes_than_are_kept_cannot_be_told(connection, monkeypatch) -> None:
    monkeypatch.setattr(sql, "_MAX_CHANGES", 3)
    record(connection, 1, 1, nft("a"), event("a", 1))
    number, _ = sql.changes(connection, None)
    for block in range(2, 6):
        record(connection, block, block, event("a", block))
    assert sql.changes(connection, number)[1] is None
    assert sql.changes(connection, number + 1)[1] == ("did-a",)


def test_replaced_documents_are_dropped_when_old_enough(connection) -> None:
    record(connection, 1, 10, nft("a"), event("a", 2), event("a", 4), event("a", 6, state=1, data=None))
    record(connection, 11, 20, event("a", 15), prune_below=10)
    blocks = [row[0] for row in connection.execute("SELECT block_number FROM index_events ORDER BY 1")]
    assert blocks == [4, 6, 15]


def test_anchors_are_bounded(connection, monkeypatch) -> None:
    monkeypatch.setattr(sql, "_MAX_ANCHORS", 3)
    for block in range(1, 8):
        record(connection, block, block)
    assert [number for number, _ in sql.begin(connection, CHAIN, FACTORY, 1).anchors] == [7, 6, 5]


def test_second_process_reads_what_the_first_wrote(connection, tmp_path: Path) -> None:
    record(connection, 1, 10, nft("a"), event("a", 5))
    other = sql.open_index(tmp_path / "index", busy_timeout_seconds=1.0)
    assert sql.find(other, "did-a") == sql.find(connection, "did-a") is not None
    prove_writable(other)
    other.close()


def test_a_new_file_is_opened_while_another_process_switches_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "index"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        # Opening waits, and meanwhile the other one comes to its end.
        monkeypatch.setattr(time, "sleep", lambda _: other.in_transaction and other.execute("ROLLBACK"))
        sql.open_index(path, busy_timeout_seconds=60).close()
        assert not other.in_transaction


def test_file_of_another_version_is_refused(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "foreign")
    foreign.execute("PRAGMA user_version = 2")
    foreign.close()
    with pytest.raises(StoreError):
        sql.open_index(tmp_path / "foreign", busy_timeout_seconds=1.0)


def test_a_transfer_is_a_change_of_the_nfts_that_are_known(connection) -> None:
    record(connection, 1, 5, nft("a"), event("a", 2))
    number, _ = sql.changes(connection, None)
    anchor = sql.begin(connection, CHAIN, FACTORY, 1).anchors[0]
    page = Page(CHAIN, 6, 7, "hash-7", anchor, True, (), (), frozenset({"nft-a", "nft-of-somebody"}))
    assert sql.record(connection, page, 0)
    assert sql.changes(connection, number)[1] == ("did-a",)
    assert sql.nfts_behind(connection, ["did-a", "did-unknown"]) == ((CHAIN, "nft-a"),)
    assert sql.nfts(connection, CHAIN) == ("nft-a",)
