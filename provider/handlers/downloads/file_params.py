"""Reads the user data of a request. Pure."""

from provider.errors import BodyTooComplex
from provider.files.userdata import NO_USERDATA, Userdata
from provider.handlers.json_body import parse_json


def read_userdata(value: object) -> Userdata:
    """Return an object, given as an object or as its JSON text.

    Any other value that is not empty is invalid (`provider-api.md` section 11.2).
    """
    if value is None or value == "":
        return NO_USERDATA
    try:
        parsed = parse_json(value) if isinstance(value, str) else value
    except BodyTooComplex:
        return Userdata(is_broken=True)
    return Userdata(parsed) if isinstance(parsed, dict) else Userdata(is_broken=True)
