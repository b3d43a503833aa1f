"""One connection to one Redis server. Commands are sent together, and replies come back in order."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from provider.outgoing.names import OperatorNames
from provider.redis.url import Address, RedisTarget

if TYPE_CHECKING:
    from redis.asyncio.connection import Connection

Command = tuple[str | bytes | int, ...]
Reply = Any
"""A server's reply in RESP 2: bytes, int, None, a list of these, or the ResponseError of this one command."""


class NodeConnection:
    """Connects at first use, and again after every failure. Runs one exchange at a time.

    `exchange` raises redis.RedisError or OSError when the connection fails. It sets no time limit: its caller does. An
    exchange that was left early closes the connection, so that no later exchange reads its replies.
    """

    def __init__(
        self, target: RedisTarget, address: Address, *, names: OperatorNames, for_sentinel: bool = False
    ) -> None:
        self._target = target
        self._address = address
        self._names = names
        self._for_sentinel = for_sentinel
        self._connection: Connection | None = None

    async def exchange(self, commands: Sequence[Command]) -> list[Reply]:
        """Return the reply of each command. Error replies are values, because the other commands took effect."""
        from redis.exceptions import ResponseError  # noqa: PLC0415 - `load_library` explains

        connection = self._connection
        try:
            # Notice a connection that the server closed while idle, before a command is lost in it.
            if connection is not None and await _is_stale(connection):
                await self.close()
                connection = None
            if connection is None:
                connection = await self._connected()
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            replies: list[Reply] = []
            for _ in commands:
                try:
                    replies.append(await connection.read_response(timeout=math.inf))
                except ResponseError as error:
                    replies.append(error)
        except BaseException:
            await self.close()
            raise
        return replies

    async def _connected(self) -> "Connection":
        """Connect to the first address that accepts, since a name may have several. Raises the last failure."""
        from redis.exceptions import RedisError  # noqa: PLC0415

        failure: Exception = OSError("the name has no address")
        for _, (host, port, *_) in await self._names(*self._address):
            # Stored before it is open, so that a cancelled caller closes it.
            connection = self._connection = connections(
                self._target, (host, port), self._address[0], self._for_sentinel
            )
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
            except (RedisError, OSError) as error:
                failure = error
                await self.close()
            else:
                return connection
        raise failure

    async def close(self) -> None:
        """Close the connection. A later exchange opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def load_library() -> None:
    """Import the library's connection modules now, so that no exchange blocks the event loop.

    A server without Redis skips this: the import takes a quarter of a second.
    """
    import redis.asyncio.connection  # noqa: F401, PLC0415


def connections(target: RedisTarget, address: Address, name: str, for_sentinel: bool) -> "Connection":
    """Make an unopened connection to a resolved address. With TLS, the certificate must be valid for `name`.

    Our callers limit the time, so the library's own limits and retries are off.
    """
    from redis.asyncio.connection import Connection, SSLConnection  # noqa: PLC0415
    from redis.asyncio.retry import Retry  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415

    options: dict[str, Any] = {
        "host": address[0],
        "port": address[1],
        "protocol": 2,
        "driver_info": None,
        "socket_timeout": None,
        "socket_connect_timeout": None,
        # Never repeat a command that may have taken effect.
        "retry": Retry(NoBackoff(), 0),
    }
    if for_sentinel:
        options["password"] = target.sentinel_password
    else:
        options |= {"db": target.database, "username": target.username, "password": target.password}
    if target.uses_tls:
        secure: Connection = _named(SSLConnection, name)(ssl_ca_certs=target.ca_file, **options)
        return secure
    return Connection(**options)


def _named(kind: type[Any], name: str) -> type[Any]:
    """The library checks certificates against the host it connects to, which is an address here."""

    class Named(kind):  # type: ignore[misc]
        def _connection_arguments(self) -> Mapping[str, Any]:
            return {**super()._connection_arguments(), "server_hostname": name}

    return Named


async def _is_stale(connection: "Connection") -> bool:
    from redis.exceptions import RedisError  # noqa: PLC0415

    if not connection.is_connected:
        return True
    try:
        return bool(await connection.can_read())
    except (RedisError, OSError):
        return True
