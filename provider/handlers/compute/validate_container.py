"""`POST validateContainer`: checks that a container object has what compute-to-data needs."""

from provider.assets.container import check_container
from provider.handlers.base import Endpoint
from provider.handlers.request_data import request_data


class ValidateContainerEndpoint(Endpoint[None]):
    """Returns a valid container unchanged. Open to everybody; nothing is looked up."""

    endpoint = "validateContainer"
    # A container object is a few hundred bytes.
    max_body_bytes = 64 << 10

    async def handle(self) -> None:
        """Check the body (`provider-api.md` section 5.12)."""
        body = bytes(self.body)
        if self._shape is not None:
            self.hold(2 * len(body) + self._shape.parsed_bytes)
        check_container(request_data("", self.request.headers.get("Content-Type", ""), body, self._shape))
        # The bytes as received: writing the value again would fail for large integers and deep nesting.
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(body)))
        self.write(body)
