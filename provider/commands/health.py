"""`provider health`: asks the running server whether it is alive. The image's health check uses it."""

import http.client
import sys

from provider.config import Listener

EXIT_ALIVE, EXIT_NOT_ALIVE = 0, 1
TIMEOUT_SECONDS = 2.0
# A listener bound to all addresses also answers on loopback.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def health(admin: Listener | None) -> int:
    """Print the admin listener's answer to `/healthz`. Returns 0 if the server is alive, otherwise 1."""
    if admin is None:
        print("provider: PROVIDER_ADMIN_URL is off, so nothing answers health checks", file=sys.stderr)
        return EXIT_NOT_ALIVE
    host = LOOPBACK.get(admin.host, admin.host)
    connection = http.client.HTTPConnection(host, admin.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        print(answer.read().decode("utf-8", "replace").strip())
    except (OSError, http.client.HTTPException) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else type(exc).__name__
        print(f"provider: no answer from {host} port {admin.port}: {reason or exc}", file=sys.stderr)
        return EXIT_NOT_ALIVE
    finally:
        connection.close()
    return EXIT_ALIVE if answer.status == http.HTTPStatus.OK else EXIT_NOT_ALIVE
