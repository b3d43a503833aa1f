"""`POST encrypt`: anybody may encrypt to this Provider's key."""

from provider.chain.networks import Networks
from provider.errors import EncryptError, RequestError, UnsupportedChain
from provider.files.envelope import encrypt
from provider.handlers.base import Endpoint, Frame
from provider.handlers.params import parse_chain_id, request_data


class EncryptEndpoint(Endpoint):
    """Raw bytes in, `0x` and the hex of the ECIES blob out."""

    endpoint = "encrypt"

    def initialize(self, *, frame: Frame, networks: Networks) -> None:
        """`networks` hold the keys."""
        super().initialize(frame=frame)
        self._networks = networks

    async def handle(self) -> None:
        """Checks in the order of `provider-api.md` section 5.2, then 201."""
        content_type = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if content_type != "application/octet-stream":
            raise RequestError("Invalid request content type: should be application/octet-stream")
        chain_text = request_data(self.request.query, "", b"").get("chainId")
        if not chain_text:
            raise RequestError("Missing chainId query parameter.")
        chain_id = parse_chain_id(chain_text)
        try:
            network = self._networks.get(chain_id if chain_id is not None else -1)
        except UnsupportedChain as exc:
            raise EncryptError from exc
        blob = encrypt(network.account.public_key, self.body)
        self.reply_text(f"0x{blob.hex()}", status=201)
