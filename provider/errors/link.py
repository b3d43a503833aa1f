"""A link opens nothing, or no longer."""

from provider.errors.base import Fault, ProviderError


class LinkError(ProviderError):
    """Base of refusals about links."""

    code = "link_refused"
    fault: Fault = "consumer"
    http_status = 404


class LinkUnknown(LinkError):
    """The URL is no link of this Provider: it was cut or changed, or made with another key."""

    code = "link_unknown"
    remedy = "Copy the whole URL, with the file name at its end. If it is whole, ask for a new link."
    text = "This link is not known here."


class LinkExpired(LinkError):
    """The link has reached its end."""

    code = "link_expired"
    http_status = 410
    remedy = "Ask for a new link with your order. A link can also be renewed before its end: send POST to its URL."
    text = "This link has expired."


class LinkRevoked(LinkError):
    """The consumer ended the link, or the auth token that made it."""

    code = "link_revoked"
    http_status = 410
    remedy = "Ask for a new link with your order."
    text = "This link was revoked."


class LinkedFileChanged(LinkError):
    """A part was asked for, and the file is not the one that was linked: the parts would not fit together."""

    code = "link_file_changed"
    http_status = 412
    remedy = "Get a link to the new version: send POST to the URL, or ask with your order. Then start again."
    text = "The file has changed since this link was made."


class LinkTooLong(LinkError):
    """The user data do not fit into a link."""

    code = "link_too_long"
    http_status = 400
    remedy = "Send less user data, or download with a signed request."
    text = "The user data are too large for a link."
