"""`POST /directCommand`: the commands of ocean-node that clients send to any node over HTTP, `status` and `nonce`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from provider import __version__
from provider.auth.nonce_store import NonceStore
from provider.errors import RequestError
from provider.handlers.about.root import Identity
from provider.handlers.base import Endpoint
from provider.handlers.identity.nonce import FIRST_NONCE
from provider.handlers.params import NonceRequest


def describe_node(identity: Identity, *, serves_ipfs: bool, serves_arweave: bool) -> Mapping[str, object]:
    """The answer to `status` but for `uptime`; ocean.js 9 needs `id`, which goes into the messages it signs.

    `serves_…`: is a gateway configured? Of ocean-node's fields those about its host are left empty: they are nobody's
    business.
    """
    return {
        "id": identity.node_id,
        "publicKey": identity.public_key,
        "address": identity.address,
        "friendlyName": "Provider",
        "version": __version__,
        "http": True,
        "p2p": False,
        "provider": [{"chainId": str(chain_id), "network": name} for chain_id, name in identity.networks],
        "indexer": [],
        "supportedStorage": _storage(ipfs=serves_ipfs, arweave=serves_arweave),
        "platform": {},
    }


def _storage(*, ipfs: bool, arweave: bool) -> Mapping[str, bool]:
    """The kinds of file served here. wire: ocean-node's status spells Arweave `arwave`."""
    always = dict.fromkeys(("url", "s3", "ftp", "graphql", "smartcontract"), True)
    return {**always, "ipfs": ipfs, "arweave": arweave, "arwave": arweave}


@dataclass(frozen=True, slots=True)
class DirectCommandDeps:
    """`status` comes from `describe_node`; `started_at` is by the monotonic clock."""

    status: Mapping[str, object]
    nonces: NonceStore
    started_at: float


class DirectCommandEndpoint(Endpoint[DirectCommandDeps]):
    """Answers out of memory and the nonce store; every other command has a route of its own or is not served."""

    endpoint = "directCommand"

    async def handle(self) -> None:
        """Reply to the command. Raises RequestError for others."""
        arguments = self.arguments()
        command = arguments.get("command")
        if command == "status":
            self.reply_json({**self.deps.status, "uptime": round(time.monotonic() - self.deps.started_at, 3)})
        elif command == "nonce":
            request = NonceRequest.parse({"userAddress": arguments.get("address")})
            last = await self.deps.nonces.last(request.address)
            self.reply_json({"nonce": last if last is not None else FIRST_NONCE})
        else:
            raise RequestError("Unsupported command: this server answers status and nonce here.")
