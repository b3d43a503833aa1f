"""`POST encrypt`: anybody may encrypt to this Provider's key."""

from provider.chain.networks import Networks
from provider.errors import EncryptError, RequestError, UnsupportedChain
from provider.files.envelope import encrypt
from provider.files.file_list import check_length
from provider.handlers.base import Endpoint, Frame
from provider.handlers.request_data import parse_chain_id, request_data
from provider.handlers.rules import wire_text
from provider.policy.gate import Gate
from provider.wire_text import ows


class EncryptEndpoint(Endpoint):
    """Raw bytes in, `0x` and the hex of the ECIES blob out."""

    endpoint = "encrypt"

    def initialize(self, *, frame: Frame, networks: Networks, gate: Gate) -> None:
        """`networks` hold the keys; `gate` asks a policy server, if there is one."""
        super().initialize(frame=frame)
        self._networks = networks
        self._gate = gate

    async def handle(self) -> None:
        """Checks in the order of `provider-api.md` section 5.2, then 201."""
        content_type = ows(self.request.headers.get("Content-Type", "").partition(";")[0]).lower()
        if content_type != "application/octet-stream":
            raise RequestError("Invalid request content type: should be application/octet-stream")
        arguments = request_data(self.request.query, "", b"")
        chain_text = arguments.get("chainId")
        if not chain_text:
            raise RequestError("Missing chainId query parameter.")
        chain_id = parse_chain_id(chain_text)
        try:
            network = self._networks.get(chain_id if chain_id is not None else -1)
        except UnsupportedChain as exc:
            raise EncryptError from exc
        await self._gate.admit_encryption(
            network, wire_text(arguments.get("consumerAddress")), policy_data=arguments.get("policyServer")
        )
        if self.ticket is not None:
            self.ticket.charge(len(self.body))
        check_length(self.body)
        blob = encrypt(network.account.public_key, self.body)
        self.reply_text(f"0x{blob.hex()}", status=201)
