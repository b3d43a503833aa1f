"""`POST validateContainer`: does a container object name what compute-to-data needs?"""

from provider.assets.container import check_container
from provider.errors import BodyTooLarge
from provider.handlers.base import Endpoint
from provider.handlers.request_data import request_data

# A container object is a few hundred bytes; what is checked is sent back, so that it must not be a body of any size.
MAX_CONTAINER_BYTES = 64 * 1024


class ValidateContainerEndpoint(Endpoint):
    """Echoes a container that keeps the rules. Anybody may ask; nothing is looked up."""

    endpoint = "validateContainer"

    async def handle(self) -> None:
        """`provider-api.md` section 5.12. The body alone counts."""
        body = self.body
        if len(body) > MAX_CONTAINER_BYTES:
            raise BodyTooLarge
        check_container(request_data("", self.request.headers.get("Content-Type", ""), body))
        # As it came: written anew, large integers would be refused and deep nesting as well.
        self.set_header("Content-Type", "application/json")
        self.set_header("Content-Length", str(len(body)))
        self.write(body)
