"""Requests about links: fields → frozen values. Pure."""

from dataclasses import dataclass, field
from typing import Self

from provider.auth.identify import Signed
from provider.auth.token import PresentedToken
from provider.errors import ValidationFailed
from provider.files.userdata import as_json
from provider.handlers import rules
from provider.handlers.params import parse_signed, signed_fields
from provider.handlers.request_data import parse_text
from provider.handlers.rules import Data, Field, is_empty, validate, wire_text
from provider.orders.check import parse_tx_id
from provider.wire.text import digits

_SIGNED_FIELDS = (
    Field("consumerAddress", (rules.required(),), bail=True),
    Field("nonce", (rules.required(), rules.numeric()), bail=True),
    Field("signature", (rules.signature(),)),
)


@dataclass(frozen=True, slots=True)
class LinksRequest:
    """`POST links`: for the files of an order, or for a result of a compute job.

    Attributes:
        did: "" if the request is about a job.
        file_index: None for all files.
        seconds: lifetime that is wanted; None for the default.
        userdata: JSON text, "" for none.
        policy_data: JSON text, "" for none.
    """

    signed: Signed
    did: str
    service_id: str
    order_tx_id: str
    file_index: int | None
    job_id: str
    result_index: str
    seconds: int | None
    userdata: str = field(repr=False)
    policy_data: str = field(repr=False)

    FIELDS = (
        Field("documentId", (rules.required_without("jobId"),)),
        Field("serviceId", (rules.required_with("documentId"),)),
        Field("transferTxId", (rules.required_with("documentId"),)),
        Field("jobId", (rules.required_without("documentId"),)),
        Field("index", (rules.required_with("jobId"),)),
        Field("fileIndex", (rules.integer(), rules.at_least_zero()), optional=True),
        Field("seconds", (rules.integer(), rules.at_least_zero()), optional=True),
        *_SIGNED_FIELDS,
    )

    @classmethod
    def parse(cls, data: Data, token: PresentedToken | None = None) -> Self:
        """Raises ValidationFailed, OrderNotFound."""
        validate(signed_fields(cls.FIELDS, data, token), data)
        seconds, job_id = _number(data, "seconds"), _sealable(data, "jobId")
        if seconds == 0:
            raise ValidationFailed({"seconds": ["The seconds must be at least 1."]})
        if not is_empty(data.get("documentId")) and not is_empty(data.get("jobId")):
            raise ValidationFailed({"jobId": ["Send documentId or jobId, not both."]})
        return cls(
            signed=parse_signed(data, "consumerAddress", token),
            did=parse_text(data, "documentId"),
            service_id=parse_text(data, "serviceId"),
            order_tx_id=parse_tx_id(parse_text(data, "transferTxId")) if not job_id else "",
            file_index=_number(data, "fileIndex"),
            job_id=job_id,
            result_index=_sealable(data, "index"),
            seconds=seconds,
            userdata=_sealable(data, "userdata"),
            policy_data=_sealable(data, "policyServer"),
        )


@dataclass(frozen=True, slots=True)
class RevokeLinksRequest:
    """`DELETE links`. `order_tx_id`: None for the links of all orders."""

    signed: Signed
    order_tx_id: str | None

    FIELDS = (*_SIGNED_FIELDS, Field("transferTxId", (), optional=True))

    @classmethod
    def parse(cls, data: Data) -> Self:
        """Raises ValidationFailed, OrderNotFound."""
        validate(cls.FIELDS, data)
        order = parse_text(data, "transferTxId")
        return cls(parse_signed(data, "consumerAddress"), parse_tx_id(order) if order else None)


def _number(data: Data, name: str) -> int | None:
    """Value of a field that the rules found to be an integer."""
    value = data.get(name)
    return None if is_empty(value) else digits(wire_text(value))


def _sealable(data: Data, name: str) -> str:
    """Text of a field, or JSON text of an object, as a token can hold it. Raises ValidationFailed."""
    value = data.get(name)
    if is_empty(value):
        return ""
    text = as_json(value) if isinstance(value, dict | list) else wire_text(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationFailed({name: [f"The {name} must be Unicode text."]}) from None
    return text
