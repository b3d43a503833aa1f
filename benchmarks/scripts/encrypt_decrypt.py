"""`encrypt` and `decrypt` through the server: a file list, a DDO, a large document."""

import json
import os
from collections.abc import Mapping
from hashlib import sha256

from benchmarks import machine, transfers
from benchmarks import stage as stages
from benchmarks.cases import wanted
from benchmarks.measure import Bench, Variant
from benchmarks.options import Options
from benchmarks.plans import ConnectionPlan
from benchmarks.result import Case, Result, summarise
from benchmarks.signing import Signer, post_request
from benchmarks.stage import OURS, Needs
from provider.testing.market.publisher import FLAG_ENCRYPTED

QUESTION = "What does it cost to encrypt and to decrypt 200 B, 10 KB and 1 MB?"
SIZES_BYTES = (200, 10_000, 1_000_000)
CONNECTIONS = 8
# Of an ECIES blob: public key, nonce, tag (`provider-api.md` section 6).
OVERHEAD_BYTES = 65 + 16 + 16
NOTES = (
    "encrypt: raw bytes in, hex out, no authentication. decrypt: JSON with hex in; signature and durable nonce.",
    "One decrypter for each connection; the data NFT's state and its factory are known from the cache.",
)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    cases = wanted(
        [
            Case(f"{what} {_name(size_bytes)}, {CONNECTIONS} connections", "request", CONNECTIONS, index, size_bytes)
            for what in ("encrypt", "decrypt")
            for index, size_bytes in enumerate(SIZES_BYTES)
        ],
        options,
    )
    load_before = machine.load_average()
    with stages.opened(Needs([transfers.WARM_BYTES]), options) as stage:
        calls = _Calls(stage)
        server = stage.servers[OURS]
        variant = Variant(OURS, server.child.pid, calls.port, calls.plans, lambda: stages.rpc_round_trips(server))
        samples = Bench(stage.load, options, cases[0], None).interleave(cases, [variant])
    facts = (*stage.facts, *transfers.circumstances(load_before, options))
    rows = summarise(cases, samples)
    return Result("encrypt_decrypt", QUESTION, facts, (transfers.CPU_NOTE, *NOTES, *stage.notes), rows, samples)


class _Calls:
    """Prepared calls: one document of each size, one decrypter for each connection."""

    def __init__(self, stage: stages.Stage) -> None:
        publisher = stage.publisher
        asset = stage.publish()
        stage.settle()
        self.port = stages.port_of(stage.servers[OURS].url)
        self._chain_id, self._data_nft = asset.chain_id, asset.data_nft
        self._clear = {size_bytes: os.urandom(size_bytes) for size_bytes in SIZES_BYTES}
        self._sealed = {size_bytes: publisher.encrypt(clear) for size_bytes, clear in self._clear.items()}
        self._signers = [Signer() for _ in range(CONNECTIONS)]

    def plans(self, case: Case, requests: int, verified: int) -> tuple[ConnectionPlan, ...]:
        """As `Traffic.plans`."""
        plan = self._encrypt if case.name.startswith("encrypt") else self._decrypt
        return tuple(plan(signer, case.body_bytes, requests, verified) for signer in self._signers)

    def _encrypt(self, _: Signer, size_bytes: int, requests: int, __: int) -> ConnectionPlan:
        request = post_request(
            self.port,
            f"/api/services/encrypt?chainId={self._chain_id}",
            "application/octet-stream",
            self._clear[size_bytes],
        )
        # Every answer is another one: only its length can be checked. Decrypting shows that they are right.
        return ConnectionPlan((request,) * requests, 201, 2 + 2 * (size_bytes + OVERHEAD_BYTES), "")

    def _decrypt(self, signer: Signer, size_bytes: int, requests: int, verified: int) -> ConnectionPlan:
        digest = sha256(self._clear[size_bytes]).hexdigest()
        prepared = tuple(
            post_request(self.port, "/api/services/decrypt", "application/json", self._body(signer, size_bytes, digest))
            for _ in range(requests)
        )
        return ConnectionPlan(prepared, 201, size_bytes, digest, verified)

    def _body(self, signer: Signer, size_bytes: int, digest: str) -> bytes:
        nonce, signature = signer.sign(f"{self._data_nft}{signer.address}{self._chain_id}")
        value: Mapping[str, object] = {
            "decrypterAddress": signer.address,
            "chainId": self._chain_id,
            "dataNftAddress": self._data_nft,
            "encryptedDocument": self._sealed[size_bytes],
            "flags": FLAG_ENCRYPTED,
            "documentHash": f"0x{digest}",
            "nonce": nonce,
            "signature": signature,
        }
        return json.dumps(value).encode()


def _name(size_bytes: int) -> str:
    for unit, name in ((10**6, "MB"), (10**3, "KB")):
        if size_bytes >= unit:
            return f"{size_bytes // unit} {name}"
    return f"{size_bytes} B"
