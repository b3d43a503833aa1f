"""Refusals by rules that the operator added to the asset's own, and container rules of algorithms."""

from collections.abc import Mapping

from provider.errors.asset import AssetError
from provider.errors.auth import AuthError
from provider.errors.outside import ServiceUnavailable
from provider.errors.request import RequestError


class RbacRefused(AuthError):
    """The RBAC server does not allow the consumer to do this (`provider-api.md` section 13.1)."""

    code = "rbac_refused"
    shape = "validation"
    remedy = "Ask the operator for the role that this call needs."
    text = "RBAC Validation failed!"

    def body(self) -> Mapping[str, object]:
        """Validation body with the documented text."""
        return {"errors": {"RBAC": [self.text]}, "message": "Validation error", "success": False}


class RbacUnavailable(ServiceUnavailable):
    """The RBAC server gave no usable answer. Access is never granted without its yes."""

    code = "rbac_unavailable"
    remedy = "Try again later. Operator: check the service behind `RBAC_SERVER_URL`."
    text = "The access control service cannot be reached, please try again later."


class PolicyRefused(AssetError):
    """The policy server refuses. If its own text can be shown, it replaces the text here."""

    code = "policy_refused"
    http_status = 403
    remedy = "Do what the text asks for, or ask the operator what the policy requires."
    text = "The policy server refused access."


class PolicyServerUnavailable(ServiceUnavailable):
    """The policy server gave no usable answer. Access is never granted without its yes."""

    code = "policy_server_unavailable"
    remedy = "Try again later. Operator: check the service behind `POLICY_SERVER_URL`."
    text = "The policy server cannot be reached, please try again later."


class ContainerInvalid(RequestError):
    """A container object breaks a rule; the text is a code of `provider-api.md` sections 5.12 and 10.2."""

    code = "container_invalid"
    remedy = "Send `entrypoint`, `image` and a `checksum` that begins with `sha256:`."
    text = "missing_entrypoint_image_checksum"
