"""The container rules, with the documented codes."""

import pytest

from provider.assets.container import check_container
from provider.errors import ContainerInvalid

GOOD = {"entrypoint": "node $ALGO", "image": "node", "tag": "14", "checksum": "sha256:8221d20c"}


@pytest.mark.parametrize("changes", [{}, {"tag": None}, {"more": 1}], ids=str)
def test_complete_container_passes(changes: dict[str, object]) -> None:
    check_container({**GOOD, **changes})


@pytest.mark.parametrize("name", ["entrypoint", "image", "checksum"])
@pytest.mark.parametrize("value", [None, "", "absent"])
def test_missing_key_is_refused(name: str, value: str | None) -> None:
    container = {**GOOD, name: value}
    if value == "absent":
        del container[name]
    with pytest.raises(ContainerInvalid, match=r"^missing_entrypoint_image_checksum$"):
        check_container(container)


@pytest.mark.parametrize("raw", [None, [], "sha256:", 7, {}], ids=str)
def test_what_is_no_object_is_refused(raw: object) -> None:
    with pytest.raises(ContainerInvalid, match=r"^missing_entrypoint_image_checksum$"):
        check_container(raw)


@pytest.mark.parametrize("checksum", ["8221d20c", "SHA256:8221", "md5:sha256:", 7, ["sha256:"]], ids=str)
def test_checksum_must_be_a_sha256(checksum: object) -> None:
    with pytest.raises(ContainerInvalid, match=r"^checksum_prefix$"):
        check_container({**GOOD, "checksum": checksum})
