"""`POST /directCommand`: the commands of ocean-node that clients send to any node over HTTP, `status` and `nonce`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from provider import __version__
from provider.errors import RequestError
from provider.handlers.about.root import Identity
from provider.handlers.base import Endpoint
from provider.handlers.identity.nonce import ToldNonces
from provider.handlers.params import NonceRequest


def describe_node(identity: Identity, *, serves_ipfs: bool, serves_arweave: bool) -> Mapping[str, object]:
    """Return the answer to `status` without `uptime`. ocean.js 9 signs messages that contain its `id`.

    `serves_…`: whether a gateway is configured. Fields of ocean-node that describe the host stay empty: they
    concern its operator only.
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
    """Return the kinds of file served here. wire: ocean-node's status spells Arweave `arwave`."""
    always = dict.fromkeys(("url", "s3", "ftp", "graphql", "smartcontract"), True)
    return {**always, "ipfs": ipfs, "arweave": arweave, "arwave": arweave}


@dataclass(frozen=True, slots=True)
class DirectCommandDeps:
    """`status` comes from `describe_node`. `started_at` is monotonic seconds."""

    status: Mapping[str, object]
    nonces: ToldNonces
    started_at: float


class DirectCommandEndpoint(Endpoint[DirectCommandDeps]):
    """Answers from memory and the nonce store. Other commands have their own route or are not served."""

    endpoint = "directCommand"

    async def handle(self) -> None:
        """Reply to the command. Raises RequestError for an unknown one."""
        arguments = self.arguments()
        command = arguments.get("command")
        if command == "status":
            self.reply_json({**self.deps.status, "uptime": round(time.monotonic() - self.deps.started_at, 3)})
        elif command == "nonce":
            request = NonceRequest.parse({"userAddress": arguments.get("address")})
            self.reply_json({"nonce": await self.deps.nonces.last(request.address)})
        else:
            raise RequestError("Unsupported command: this server answers status and nonce here.")
