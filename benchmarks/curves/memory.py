"""Memory: buckets by the number of clients, and cached DDOs compared with their limit."""

import gc
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
from provider.process.memory import collect_as_usual, keep_collections_short

_CLIENTS = (1_000, 20_000, 100_000, 1_000_000)
_QUICK_CLIENTS = _CLIENTS[:3]
_TAKES = 100_000
_ORDERS = (1, 10, 50, 200)
_USUAL, _SHORT = "Python's collector", "survivors set aside"
_ADDRESS = "0x" + "ab" * 20


def rows(options: Options) -> list[Row]:
    """Measure buckets and caches."""
    clients = _QUICK_CLIENTS if options.is_quick else _CLIENTS
    return [
        *(_buckets(count, options.rounds) for count in clients),
        _ddos(),
        *map(_receipts, _ORDERS),
        *(_collections(variant, options) for variant in (_USUAL, _SHORT)),
    ]


def _buckets(count: int, rounds: int) -> Row:
    """Each take is for a client that was never seen, so each one forgets another client."""
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
    limits = CacheConfig().receipt
    cache: FactCache[int, SeenReceipt] = FactCache(
        name="receipt",
        max_entries=limits.max_entries,
        ttl_seconds=limits.ttl_seconds,
        max_bytes=limits.max_bytes,
        size_of=receipt_bytes,
    )
    cache.put(1, _receipt(orders))
    kept = figure("node reads per warm download", [0.0 if cache.peek(1) else 1.0])
    return Row(f"receipt of {orders} orders", "provider", (*kept, *figure("KB held", [cache.held_bytes / 1000], 1)))


def _receipt(orders: int) -> SeenReceipt:
    """With objects of its own, as one that was parsed."""
    started = [OrderStarted(_ADDRESS, _ADDRESS, _ADDRESS, 10**18, 0, 1, "0x" + "cd" * 32) for _ in range(orders)]
    fees = [ProviderFee(_ADDRESS, _ADDRESS, _ADDRESS, 0, bytes(250), 27, bytes(32), bytes(32), 0) for _ in started]
    return SeenReceipt(Receipt("0x" + "cd" * 32, True, 1, tuple(started), (), tuple(fees)), is_final=True)


def _collections(variant: str, options: Options) -> Row:
    """Full collections beside caches at their default sizes, and after the entries of each have changed."""
    limits = CacheConfig()
    sizes = {"receipt": limits.receipt_entries, "state": 3 * limits.state_entries, "ddo": limits.ddo_entries}
    ddo = parse_ddo({"id": "did", "chainId": 1, "nftAddress": _ADDRESS, "metadata": {"type": "dataset"}})
    made = {"receipt": lambda: _receipt(1), "state": lambda: (object(), [_ADDRESS]), "ddo": lambda: replace(ddo)}
    caches = {
        name: FactCache[tuple[int, str], object](name=name, max_entries=size, ttl_seconds=3600.0)
        for name, size in sizes.items()
    }
    thresholds = gc.get_threshold()
    gc.collect()
    if variant == _SHORT:
        keep_collections_short()
    full = []
    try:
        for number in range(options.rounds + 1):
            # First they fill, which is not measured; then a tenth of the entries is replaced before each look.
            for name, size in sizes.items():
                for entry in range(size if not number else size // 10):
                    caches[name].put((number * size + entry, name), made[name]())
            began = time.perf_counter()
            gc.collect()
            full.append((time.perf_counter() - began) * 1000)
    finally:
        collect_as_usual()
        gc.set_threshold(*thresholds)
    return Row("caches at their default sizes", variant, (*figure("full collection ms", full[1:], 1),))
