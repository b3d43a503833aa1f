"""The rules of an algorithm's container object (pure; `provider-api.md` section 5.12)."""

from collections.abc import Mapping

from provider.errors import ContainerInvalid

MISSING = "missing_entrypoint_image_checksum"
PREFIX = "checksum_prefix"

_REQUIRED = ("entrypoint", "image", "checksum")


def check_container(raw: object) -> None:
    """Raise ContainerInvalid, whose text is the code, unless image, entrypoint and a sha256 checksum are given.

    `tag` is ignored, since the checksum identifies the image.
    """
    if not isinstance(raw, Mapping) or not all(raw.get(name) for name in _REQUIRED):
        raise ContainerInvalid(MISSING)
    checksum = raw["checksum"]
    if not isinstance(checksum, str) or not checksum.startswith("sha256:"):
        raise ContainerInvalid(PREFIX)
