"""Builds the queue of proofs of download from settings."""

from urllib.parse import urlsplit

from provider.chain.networks import Networks
from provider.config import Settings
from provider.crypto.accounts import transaction_signer
from provider.observability.metrics import Metrics
from provider.outgoing.client import ServiceClient
from provider.outgoing.sessions import Outgoing
from provider.proofs.budget import Budget
from provider.proofs.chain_sender import ChainSender
from provider.proofs.http_sender import HttpSender
from provider.proofs.queue import ProofQueue, Sender
from provider.proofs.store import ProofStore, SendingLock, proofs_path

HTTP_TIMEOUT_SECONDS = 10.0
# Nobody reads the HTTP answer.
HTTP_MAX_BYTES = 1 << 16


def build_proofs(
    settings: Settings, metrics: Metrics, networks: Networks, outgoing: Outgoing, *, send_here: bool
) -> ProofQueue | None:
    """Return the queue, not started; None if no proofs are wanted. `send_here`: this worker sends the proofs of all."""
    proofs = settings.proofs
    if proofs.http_url is None and not proofs.on_chain:
        return None
    path = proofs_path(settings.storage_path)
    budget = Budget(proofs.period_seconds, per_order=proofs.max_per_order, per_day=proofs.max_per_day)
    store = ProofStore(
        path,
        kind="chain" if proofs.http_url is None else "http",
        max_queued=proofs.max_queued,
        metrics=metrics.proofs,
        # Proofs sent by HTTP cost nothing.
        budget=None if proofs.http_url is not None else budget,
    )
    senders: list[Sender] = []
    if proofs.http_url is not None:
        senders.append(_http_sender(proofs.http_url, networks, store, outgoing))
    else:
        if send_here:
            transaction_signer()
        senders += [
            ChainSender(
                network,
                store=store,
                max_fee_wei=proofs.max_fee_wei.of(network.chain_id),
            )
            for network in networks
        ]
    return ProofQueue(
        store,
        senders,
        lock=SendingLock(path) if send_here else None,
        max_age_seconds=proofs.max_age_seconds,
        metrics=metrics.proofs,
    )


def _http_sender(url: str, networks: Networks, store: ProofStore, outgoing: Outgoing) -> HttpSender:
    parts = urlsplit(url)
    client = ServiceClient(
        f"{parts.scheme}://{parts.netloc}",
        name="proof service",
        timeout_seconds=HTTP_TIMEOUT_SECONDS,
        max_bytes=HTTP_MAX_BYTES,
        outgoing=outgoing,
    )
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    return HttpSender(client, path, networks=networks, store=store)
