"""One function of a contract's ABI: user data in, call data out; result bytes in, JSON values out (pure).

https://docs.soliditylang.org/en/latest/abi-spec.html. This module checks types, `abi_codec.py` encodes the words. The
ABI comes from a publisher and the result from any contract, so both are limited.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from provider.crypto.keccak import is_address, keccak256, to_checksum_address
from provider.errors import ContractCallFailed, FileObjectInvalid, UserdataInvalid
from provider.files.file_fields import MALFORMED, echo
from provider.wire.text import hex_bytes

# Real functions have a handful of inputs, and structs nested once at most.
_MAX_PARAMETERS = 64
_MAX_DEPTH = 6
_MAX_DIMENSIONS = 3
_MAX_NAME_CHARS = 128

_INTEGER = re.compile(r"u?int(?:8|16|24|32|40|48|56|64|72|80|88|96|104|112|120|128|136|144|152|160|168|176|184|192|200"
                      r"|208|216|224|232|240|248|256)?")  # fmt: skip
_PLAIN = re.compile(r"address|bool|string|bytes(?:[1-9]|[12][0-9]|3[0-2])?|tuple")
# No length 0: an array of empty arrays would take no bytes, however long it is.
_TYPE = re.compile(rf"([a-z0-9]+)((?:\[(?:[1-9][0-9]{{0,3}})?\]){{0,{_MAX_DIMENSIONS}}})", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,78}", re.ASCII)
_HEX_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parameter:
    """An input or output. `base`: type without array brackets. `dimensions` as written: `("", "3")` for `[][3]`."""

    name: str
    base: str
    dimensions: tuple[str, ...]
    components: tuple["Parameter", ...] = ()

    @property
    def canonical(self) -> str:
        """The type as in signatures, with tuples written out."""
        base = f"({','.join(part.canonical for part in self.components)})" if self.base == "tuple" else self.base
        return base + "".join(f"[{length}]" for length in self.dimensions)


@dataclass(frozen=True, slots=True)
class Function:
    """A view or pure function."""

    name: str
    inputs: tuple[Parameter, ...]
    outputs: tuple[Parameter, ...]

    def encode(self, userdata: Mapping[str, object]) -> bytes:
        """Encode selector and arguments. Each argument is the user value of the input's name (`provider-api.md` 11.2).

        Raises:
            FileObjectInvalid: some are missing; the documented text.
            UserdataInvalid: one does not fit its type.
        """
        if self.inputs and not userdata:
            raise FileObjectInvalid("Missing parameters")
        missing = [echo(item.name) for item in self.inputs if item.name not in userdata]
        if missing:
            raise FileObjectInvalid(f"Missing userparams: {','.join(missing)}")
        types = [item.canonical for item in self.inputs]
        selector = keccak256(f"{self.name}({','.join(types)})".encode())[:4]
        if not types:
            return selector
        from provider.files import abi_codec  # noqa: PLC0415 - only who calls contracts pays for it

        try:
            values = [_argument(item, userdata[item.name], item.dimensions) for item in self.inputs]
            return selector + abi_codec.encode(types, values)
        except ValueError:
            raise UserdataInvalid("userdata does not fit the inputs of the function.") from None

    def decode(self, data: bytes) -> object:
        """Decode the result to a JSON value: that of a single output, or a list for several.

        Integers keep every digit, bytes become `0x` hex, addresses are checksummed, tuples become lists. Raises
        ContractCallFailed.
        """
        from provider.files import abi_codec  # noqa: PLC0415 - as above

        try:
            values = abi_codec.decode([item.canonical for item in self.outputs], data)
        except ValueError:
            raise ContractCallFailed(detail="the result does not fit the types in the ABI") from None
        plain = [_plain(item, value, item.dimensions) for item, value in zip(self.outputs, values, strict=True)]
        return plain[0] if len(plain) == 1 else plain


def parse_function(raw: object) -> Function:
    """Parse the `abi` of a smart contract file. Raises FileObjectInvalid with the documented texts of section 11.1."""
    if not isinstance(raw, Mapping) or "inputs" not in raw or raw.get("type") != "function":
        raise FileObjectInvalid("invalid abi")
    if raw.get("stateMutability") not in ("view", "pure"):
        raise FileObjectInvalid("only view or pure functions are allowed")
    name = raw.get("name")
    if not name:
        raise FileObjectInvalid("missing name")
    if not isinstance(name, str) or not name.isascii() or not name.replace("$", "_").isidentifier():
        raise FileObjectInvalid("invalid abi")
    return Function(name, _parameters(raw["inputs"], depth=0), _parameters(raw.get("outputs") or [], depth=0))


def _parameters(raw: object, *, depth: int) -> tuple[Parameter, ...]:
    if not isinstance(raw, list) or len(raw) > _MAX_PARAMETERS or depth > _MAX_DEPTH:
        raise FileObjectInvalid("invalid abi")
    return tuple(_parameter(item, depth) for item in raw)


def _parameter(raw: object, depth: int) -> Parameter:
    name = raw.get("name", "") if isinstance(raw, Mapping) else None
    kind = raw.get("type") if isinstance(raw, Mapping) else None
    match = _TYPE.fullmatch(kind) if isinstance(kind, str) else None
    if not isinstance(name, str) or len(name) > _MAX_NAME_CHARS or match is None:
        raise FileObjectInvalid("invalid abi")
    base = match[1]
    if _INTEGER.fullmatch(base) is None and _PLAIN.fullmatch(base) is None:
        raise FileObjectInvalid("invalid abi")
    components: tuple[Parameter, ...] = ()
    if base == "tuple":
        components = _parameters(cast(Mapping[str, object], raw).get("components"), depth=depth + 1)
        if not components:
            # An array of these would take no bytes either.
            raise FileObjectInvalid("invalid abi")
    if base in ("int", "uint"):
        base += "256"
    return Parameter(name, base, tuple(match[2][1:-1].split("][")) if match[2] else (), components)


def _argument(item: Parameter, value: object, dimensions: tuple[str, ...]) -> object:
    """Convert user data to what eth_abi expects. Raises ValueError. eth_abi checks lengths and ranges."""
    if dimensions:
        if not isinstance(value, list):
            raise ValueError(MALFORMED)
        return [_argument(item, inner, dimensions[:-1]) for inner in value]
    if item.base == "tuple":
        return _tuple(item, value)
    if item.base == "address":
        if not is_address(value):
            raise ValueError(MALFORMED)
        return str(value).lower()
    if item.base.startswith(("int", "uint")):
        return _integer(value)
    if item.base.startswith("bytes"):
        data = hex_bytes(value.removeprefix("0x")) if isinstance(value, str) else None
        if data is None:
            raise ValueError(MALFORMED)
        return data
    return value


def _tuple(item: Parameter, value: object) -> object:
    """A struct, given as an object by names or as a list in order."""
    if isinstance(value, Mapping):
        if any(part.name not in value for part in item.components):
            raise ValueError(MALFORMED)
        value = [value[part.name] for part in item.components]
    if not isinstance(value, list) or len(value) != len(item.components):
        raise ValueError(MALFORMED)
    return tuple(_argument(part, inner, part.dimensions) for part, inner in zip(item.components, value, strict=True))


def _integer(value: object) -> int:
    """A JSON integer, or its text: clients whose numbers have 53 bits send text."""
    if isinstance(value, str):
        if _HEX_NUMBER.fullmatch(value):
            return int(value, 16)
        if _DECIMAL.fullmatch(value):
            return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(MALFORMED)
    return value


def _plain(item: Parameter, value: Any, dimensions: tuple[str, ...]) -> object:
    if dimensions:
        return [_plain(item, inner, dimensions[:-1]) for inner in value]
    if item.base == "tuple":
        return [_plain(part, inner, part.dimensions) for part, inner in zip(item.components, value, strict=True)]
    if item.base == "address":
        return to_checksum_address(value)
    return "0x" + value.hex() if isinstance(value, bytes) else value
