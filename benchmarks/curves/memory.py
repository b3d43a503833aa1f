"""What is held in memory: buckets of clients by their number, and cached DDOs against their limit."""

import time
from dataclasses import replace
from typing import cast

from benchmarks.options import Options
from benchmarks.result import Row, figure
from provider.admission.buckets import Buckets
from provider.assets.ddo import parse_ddo
from provider.assets.footprint import asset_bytes
from provider.cache import CacheConfig, FactCache
from provider.chain.events import OrderStarted, ProviderFee, Receipt
from provider.orders.lookup import SeenReceipt, receipt_bytes

_CLIENTS = (1_000, 20_000, 100_000, 1_000_000)
_QUICK_CLIENTS = _CLIENTS[:3]
_TAKES = 100_000
_ORDERS = (1, 10, 50, 200)
_ADDRESS = "0x" + "ab" * 20


def rows(options: Options) -> list[Row]:
    """Measure buckets and caches."""
    clients = _QUICK_CLIENTS if options.is_quick else _CLIENTS
    return [*(_buckets(count, options.rounds) for count in clients), _ddos(), *map(_receipts, _ORDERS)]


def _buckets(count: int, rounds: int) -> Row:
    """Each take is of a client that was never seen, so each forgets another one."""
    buckets = Buckets(rate=10, burst=20, max_clients=count)
    for number in range(count):
        buckets.take(number.to_bytes(8, "big"), 0.0)
    means, longest, start = [], [], count
    for _ in range(rounds):
        names = [number.to_bytes(8, "big") for number in range(start, start + _TAKES)]
        start += _TAKES
        worst, cpu_before, before = 0.0, time.thread_time(), time.perf_counter()
        for name in names:
            buckets.take(name, 0.0)
            now = time.perf_counter()
            worst = max(worst, now - before)
            before = now
        means.append((time.thread_time() - cpu_before) / _TAKES * 1e6)
        longest.append(worst * 1000)
    return Row(
        f"bucket of a new client, {count:,} clients",
        "provider",
        (*figure("CPU µs", means, 2), *figure("longest ms", longest, 1)),
    )


def _ddos() -> Row:
    """As many DDOs of 1 MB as entries are allowed, with their text, as for a policy server."""
    limits = CacheConfig().ddo
    cache: FactCache[int, object] = FactCache(
        name="ddo",
        max_entries=limits.max_entries,
        ttl_seconds=limits.ttl_seconds,
        max_bytes=limits.max_bytes,
        size_of=asset_bytes,  # type: ignore[arg-type]
    )
    ddo = {"id": "did", "chainId": 1, "nftAddress": _ADDRESS, "metadata": {"description": "x" * 1_000_000}}
    asset = parse_ddo(ddo, keep_document=True)
    for number in range(limits.max_entries):
        cache.put(number, replace(asset, document=bytes(bytearray(cast(bytes, asset.document)))))
    held = figure("MB held", [cache.held_bytes / 1e6])
    return Row("2,000 DDOs of 1 MB", "provider", (*held, *figure("entries", [len(cache)])))


def _receipts(orders: int) -> Row:
    started = OrderStarted(_ADDRESS, _ADDRESS, _ADDRESS, 10**18, 0, 1, "0x" + "cd" * 32)
    fee = ProviderFee(_ADDRESS, _ADDRESS, _ADDRESS, 0, b"x" * 250, 27, bytes(32), bytes(32), 0)
    receipt = Receipt("0x" + "cd" * 32, True, 1, (started,) * orders, (), (fee,) * orders)
    limits = CacheConfig().receipt
    cache: FactCache[int, SeenReceipt] = FactCache(
        name="receipt",
        max_entries=limits.max_entries,
        ttl_seconds=limits.ttl_seconds,
        max_bytes=limits.max_bytes,
        size_of=receipt_bytes,
    )
    cache.put(1, SeenReceipt(receipt, is_final=True))
    kept = figure("node reads per warm download", [0.0 if cache.peek(1) else 1.0])
    return Row(f"receipt of {orders} orders", "provider", (*kept, *figure("KB held", [cache.held_bytes / 1000], 1)))
