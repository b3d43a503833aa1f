"""Targets: what is stored and read back, and the limits that publishers name."""

import sqlite3

from provider.auth.nonce import parse_nonce
from provider.auth.nonce_order import sortable
from provider.auth.nonce_rows import held_from, row_of
from provider.auth.nonce_rule import NOTHING, NonceUse, decide
from provider.auth.signed_text import Misread, OpenText, read_text
from provider.books.config import BooksConfig
from provider.books.record import MAX_NAME_CHARS, claimed, of_result
from provider.books.sql import SCHEMA, Writer
from provider.commands.backup.manifest import parse_manifest
from provider.quotas.quota import (
    DOWNLOAD,
    NO_LIMITS,
    Amount,
    Body,
    Count,
    Limit,
    Limits,
    Taker,
    held_by,
    parse_limits,
    quotas_of,
)
from provider.quotas.quota import (
    decide as decide_quotas,
)
from tests.fuzz.model import Target, as_json, as_text, lines

ADDRESS = "0x967da4048cD07aB37855c090aAF366e4ce1b9F48"
NOW = 1_700_000_000.0
MOST = 2**53


def nonce_rows(data: bytes) -> None:
    """A row is read back as it was written, whatever was used before it, and no nonce is accepted twice.

    Each line is a nonce. One that begins with `m` comes with a signed text of the old family.
    """
    held, used = NOTHING, set[str]()
    for line in as_text(data).split("\n"):
        nonce = line.removeprefix("m")
        if parse_nonce(nonce) is None:
            continue
        text = _open_text(nonce) if line.startswith("m") else None
        after = decide(held, NonceUse(ADDRESS, nonce, text))
        if after is None:
            continue
        assert sortable(nonce) not in used
        used.add(sortable(nonce))
        _, shown, memory = row_of(ADDRESS, after)
        held = held_from(shown, memory)
        assert held == after


def _open_text(nonce: str) -> OpenText | None:
    try:
        return read_text(f"{ADDRESS}job{nonce}", nonce, now=NOW)
    except Misread:
        return None


def records(data: bytes) -> None:
    """Whatever a proven consumer claims fits into the books, and names are bounded."""
    did, service_id, order_tx_id, job_id, file_index = (as_text(part) for part in lines(data, 5))
    use = claimed(ADDRESS, did=did, service_id=service_id, order_tx_id=order_tx_id, file_index=file_index)
    bought = claimed(ADDRESS, did=did, service_id=service_id, order_tx_id=order_tx_id, link="l")
    bought.buy(1, order_tx_id if use.order_tx_id else "")
    uses = [use, bought, of_result(ADDRESS, job_id)]
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in SCHEMA:
        connection.execute(statement)
    for each in uses:
        each.end("download", "complete", at=NOW, seconds=1.0)
        assert max(len(each.service_id), len(each.job_id)) <= MAX_NAME_CHARS
    Writer(BooksConfig()).write(connection, uses, NOW)
    found = connection.execute("SELECT did, service, job FROM usage ORDER BY job, link").fetchall()
    assert sorted(found) == sorted((each.did, each.service_id, each.job_id) for each in uses)
    connection.close()


def manifests(data: bytes) -> None:
    """A manifest is read as it is written, and names files of its own folder only."""
    manifest = parse_manifest(data)
    if manifest is None:
        return
    for name in manifest.files:
        assert name not in ("", ".", "..")
        assert not {"/", "\0"} & set(name)
    for shown in (manifest.version, manifest.made_at, manifest.address, *manifest.chain_addresses.values()):
        assert shown.isprintable()
    assert parse_manifest(manifest.text().encode()) == manifest


def quota_limits(data: bytes) -> None:
    """A publisher's limits only lower those of the operator, and bytes of bodies never exceed a limit.

    The first line is what a publisher wrote, the others are lengths of bodies.
    """
    first, rest = lines(data, 2)
    publisher = parse_limits({"quotas": as_json(first)})
    operator = Limits(Limit(3, 1000), Limit(5), Limit(0, 5000))
    for limits in (publisher, NO_LIMITS):
        for quota in quotas_of(operator, limits, Taker(ADDRESS, "did:op:1", "s", "0x1"), NOW):
            assert 0 <= quota.limit.downloads <= MOST
            assert 0 <= quota.limit.bytes <= MOST
            own = {"order": operator.order, "asset": operator.asset_month}.get(quota.scope, Limit())
            assert not own.bytes or 0 < quota.limit.bytes <= own.bytes
            assert not own.downloads or 0 < quota.limit.downloads <= own.downloads
        _take_all(operator, limits, rest)


def _take_all(operator: Limits, publisher: Limits, lengths: bytes) -> None:
    counts: dict[str, Count] = {}
    quotas = quotas_of(operator, publisher, Taker(ADDRESS, "did:op:1", "s", "0x1"), NOW)
    for line in lengths.split(b"\n")[:20]:
        body = Body(int(line)) if line.isdigit() and len(line) < 30 else Body(None)
        held = [counts.get(quota.name, Count()) for quota in quotas]
        if decide_quotas(quotas, held, body, NOW) is not None:
            continue
        more = held_by(body, quotas, held)
        assert 0 <= more.bytes <= MOST
        assert body.sent(more.bytes).parts <= DOWNLOAD
        for quota, count in zip(quotas, held, strict=True):
            total = Amount(count.held.parts + more.parts, count.held.bytes + more.bytes)
            assert not quota.limit.bytes or total.bytes <= quota.limit.bytes
            assert not quota.limit.downloads or total.parts < (quota.limit.downloads + 1) * DOWNLOAD
            counts[quota.name] = Count(held=total)


STORES = (
    Target("nonce_rows", nonce_rows, max_bytes=2000),
    Target("records", records, max_bytes=1000),
    Target("manifests", manifests, max_bytes=1000),
    Target("quota_limits", quota_limits, max_bytes=1000),
)
