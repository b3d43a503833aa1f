"""`POST validateContainer`: does a container object name what compute-to-data needs?"""

from provider.assets.container import check_container
from provider.handlers.base import Endpoint
from provider.handlers.request_data import request_data


class ValidateContainerEndpoint(Endpoint[None]):
    """Echoes a container that keeps the rules. Anybody may ask; nothing is looked up."""

    endpoint = "validateContainer"
    # A container object is a few hundred bytes.
    max_body_bytes = 64 << 10

    async def handle(self) -> None:
        """`provider-api.md` section 5.12. The body alone counts."""
        body = bytes(self.body)
        if self._shape is not None:
            self.hold(2 * len(body) + self._shape.parsed_bytes)
        check_container(request_data("", self.request.headers.get("Content-Type", ""), body, self._shape))
        # As it came: written anew, large integers would be refused and deep nesting as well.
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(body)))
        self.write(body)
