"""Finds the Redis server for a key: the single server, the master that Sentinels name, or the owner of the slot."""

import asyncio
from typing import Protocol

from provider.outgoing.names import OperatorNames
from provider.redis.connection import NodeConnection
from provider.redis.errors import NoRoute
from provider.redis.url import Address, RedisTarget


class Topology(Protocol):
    """Knows the servers of one kind of deployment. Methods raise NoRoute, or the errors of connections."""

    def known(self, key: str) -> Address | None:
        """Return the server that takes writes for `key`, if it is known without asking."""
        ...

    async def address_of(self, key: str) -> Address:
        """Return the server that takes writes for `key`."""
        ...

    async def every_address(self) -> list[Address]:
        """Return all servers that take writes."""
        ...

    def forget(self) -> None:
        """Drop what is known after a failure, so that the next question looks it up again."""
        ...


def topology_of(target: RedisTarget, *, timeout_seconds: float, names: OperatorNames) -> Topology:
    """Make the topology of a target. If there are several nodes, each gets only a part of `timeout_seconds`."""
    if target.kind == "sentinel":
        return _Sentinels(target, timeout_seconds, names)
    return _Cluster(target, timeout_seconds, names) if target.kind == "cluster" else _Single(target)


class _Single:
    def __init__(self, target: RedisTarget) -> None:
        self._address = target.nodes[0]

    def known(self, key: str) -> Address | None:  # noqa: ARG002
        return self._address

    async def address_of(self, key: str) -> Address:  # noqa: ARG002
        return self._address

    async def every_address(self) -> list[Address]:
        return [self._address]

    def forget(self) -> None:
        pass


class _Asking:
    """Asks the nodes of the target in turn, starting with the one that answered last."""

    def __init__(self, target: RedisTarget, timeout_seconds: float, names: OperatorNames) -> None:
        self._target = target
        self._names = names
        # Leaves time to ask the next node within the whole limit.
        self._each_seconds = timeout_seconds / (2 * len(target.nodes)) + 0.1
        self._nodes = list(target.nodes)

    async def _ask(self, *command: str) -> object:
        from redis.exceptions import RedisError  # noqa: PLC0415

        for node in list(self._nodes):
            is_sentinel = self._target.kind == "sentinel"
            connection = NodeConnection(self._target, node, names=self._names, for_sentinel=is_sentinel)
            try:
                async with asyncio.timeout(self._each_seconds):
                    reply = (await connection.exchange([command]))[0]
            except (RedisError, OSError) as error:
                reply = error
            finally:
                await connection.close()
            if reply is not None and not isinstance(reply, Exception):
                self._nodes.remove(node)
                self._nodes.insert(0, node)
                return reply
        return None


class _Sentinels(_Asking):
    """Asks Sentinels for the master (redis.io, "Guidelines for Redis clients with support for Redis Sentinel")."""

    _master: Address | None = None

    def known(self, key: str) -> Address | None:  # noqa: ARG002
        return self._master

    async def address_of(self, key: str) -> Address:  # noqa: ARG002
        if self._master is None:
            reply = await self._ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._target.service)
            if not isinstance(reply, list) or len(reply) != 2:
                raise NoRoute("no Sentinel names a master of the service")
            self._master = reply[0].decode(), int(reply[1])
        return self._master

    async def every_address(self) -> list[Address]:
        return [await self.address_of("")]

    def forget(self) -> None:
        self._master = None


class _Cluster(_Asking):
    """Finds the owner of the key's slot, as listed by CLUSTER SLOTS."""

    _owners: list[tuple[int, int, Address]] | None = None

    def known(self, key: str) -> Address | None:
        return None if self._owners is None else _owner(self._owners, key)

    async def address_of(self, key: str) -> Address:
        owner = _owner(await self._slots(), key)
        if owner is None:
            raise NoRoute("the cluster has no owner for a slot")
        return owner

    async def every_address(self) -> list[Address]:
        return sorted({address for _, _, address in await self._slots()})

    async def _slots(self) -> list[tuple[int, int, Address]]:
        if self._owners is None:
            reply = await self._ask("CLUSTER", "SLOTS")
            if not isinstance(reply, list):
                raise NoRoute("no node of the cluster lists its slots")
            # A node that does not know its own name is the one that was asked.
            own = self._nodes[0][0]
            self._owners = [(row[0], row[1], (row[2][0].decode() or own, row[2][1])) for row in reply]
            self._learn({address for _, _, address in self._owners})
        return self._owners

    def _learn(self, addresses: set[Address]) -> None:
        """Remember nodes that joined, so that they can be asked when those of the settings are gone."""
        known = [*self._target.nodes, *sorted(addresses - set(self._target.nodes))]
        self._nodes = [node for node in self._nodes if node in known] + [
            node for node in known if node not in self._nodes
        ]

    def forget(self) -> None:
        self._owners = None


def _owner(owners: list[tuple[int, int, Address]], key: str) -> Address | None:
    from redis.crc import key_slot  # noqa: PLC0415

    slot = key_slot(key.encode())
    return next((address for first, last, address in owners if first <= slot <= last), None)
