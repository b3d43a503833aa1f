"""Allow and deny lists: `decisions.md` [K19], each row a rule."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.assets.credentials import MAX_ACCESS_LISTS, AccessList, Verdict, parse_credentials

ME = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
OTHER = "0xe08A1dAe983BC701D05E492DB80e0144f8f4b909"
OK, NOT_ALLOWED, DENIED = Verdict.OK, Verdict.CREDENTIAL_NOT_IN_ALLOW_LIST, Verdict.CREDENTIAL_IN_DENY_LIST


def address(*values: object) -> dict[str, object]:
    return {"type": "address", "values": list(values)}


UNKNOWN: dict[str, object] = {"type": "verifiableCredential", "values": [ME, "*"]}


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        pytest.param(None, OK, id="absent"),
        pytest.param({}, OK, id="empty object"),
        pytest.param("", OK, id="empty text"),
        pytest.param({"allow": [], "deny": []}, OK, id="empty lists"),
        pytest.param([], OK, id="empty list in place of the object"),
        pytest.param("[]", OK, id="its text"),
        pytest.param({"allow": {}, "deny": {}}, OK, id="empty objects in place of the lists"),
        pytest.param({"allow": "", "deny": None}, OK, id="nothing in place of the lists"),
        pytest.param({"allow": {}, "deny": [address(ME)]}, DENIED, id="an empty object hides no list"),
        pytest.param({"allow": None, "deny": None}, OK, id="null lists"),
        pytest.param({"allow": [address(ME)]}, OK, id="allowed"),
        pytest.param({"allow": [address(ME.lower())]}, OK, id="allowed in lower case"),
        pytest.param({"allow": [address("0x" + ME[2:].upper())]}, OK, id="allowed in upper case"),
        pytest.param({"allow": [address({"address": ME})]}, OK, id="allowed in the form of DDO 5"),
        pytest.param({"allow": [address("*")]}, OK, id="everybody allowed"),
        pytest.param({"allow": [address(OTHER)]}, NOT_ALLOWED, id="another allowed"),
        pytest.param({"allow": [address()]}, NOT_ALLOWED, id="nobody allowed"),
        pytest.param({"deny": [address(ME)]}, DENIED, id="denied"),
        pytest.param({"deny": [address("*")]}, DENIED, id="everybody denied"),
        pytest.param({"deny": [address(OTHER)]}, OK, id="another denied"),
        pytest.param({"deny": [address()]}, OK, id="nobody denied"),
        pytest.param({"allow": [address(ME)], "deny": [address(ME)]}, DENIED, id="deny wins"),
        pytest.param({"allow": [address("*")], "deny": [address(ME)]}, DENIED, id="deny wins over everybody"),
        pytest.param({"allow": [address(OTHER)], "deny": [address(ME)]}, DENIED, id="deny is looked at first"),
        pytest.param({"deny": [address(OTHER), address(ME)]}, DENIED, id="every deny entry counts"),
        pytest.param({"allow": [address(OTHER), address(ME)]}, OK, id="every allow entry counts"),
        pytest.param({"allow": [UNKNOWN]}, NOT_ALLOWED, id="only unknown types admit nobody"),
        pytest.param({"allow": [address(ME), UNKNOWN]}, NOT_ALLOWED, id="an unknown type never holds"),
        pytest.param({"allow": [address("*"), UNKNOWN]}, NOT_ALLOWED, id="an unknown type never holds, with *"),
        pytest.param({"deny": [UNKNOWN]}, OK, id="an unknown type denies nobody"),
        pytest.param({"deny": [UNKNOWN, address(ME)]}, DENIED, id="an unknown type does not hide a denial"),
        pytest.param({"allow": [address(OTHER), address(ME)], "match_allow": "any"}, OK, id="any"),
        pytest.param({"allow": [address(ME), UNKNOWN], "match_allow": "any"}, OK, id="any with an unknown type"),
        pytest.param({"allow": [UNKNOWN], "match_allow": "any"}, NOT_ALLOWED, id="any of unknown types only"),
        pytest.param({"allow": [address(OTHER), address(ME)], "match_allow": "all"}, NOT_ALLOWED, id="explicit all"),
        pytest.param({"allow": [address(ME), address("*")], "match_allow": "all"}, OK, id="all hold"),
        pytest.param({"deny": [address(ME), address(OTHER)], "match_deny": "all"}, OK, id="not all deny"),
        pytest.param({"deny": [address(ME), address("*")], "match_deny": "all"}, DENIED, id="all deny"),
        pytest.param({"deny": [address(ME), UNKNOWN], "match_deny": "all"}, DENIED, id="all known ones deny"),
        pytest.param({"deny": [UNKNOWN], "match_deny": "all"}, OK, id="no known one denies"),
    ],
)
@pytest.mark.parametrize("as_text", [False, True], ids=["object", "text"])
def test_rule(credentials: object, expected: Verdict, as_text: bool) -> None:
    raw = json.dumps(credentials) if as_text and isinstance(credentials, dict) else credentials
    for consumer in (ME, ME.lower()):
        assert parse_credentials(raw).verdict(consumer) is expected


LIST, OTHER_LIST = AccessList(8996, OTHER), AccessList(1, ME)
ON_LIST = {"type": "accessList", "chainId": 8996, "accessList": OTHER.lower()}
ON_OTHER = {"type": "accessList", "chainId": "1", "accessList": ME}


@pytest.mark.parametrize(
    ("credentials", "memberships", "expected"),
    [
        pytest.param({"allow": [ON_LIST]}, {LIST: True}, OK, id="listed"),
        pytest.param({"allow": [{**ON_LIST, "type": "ACCESSLIST"}]}, {LIST: True}, OK, id="type in any case"),
        pytest.param({"allow": [ON_LIST]}, {LIST: False}, NOT_ALLOWED, id="not listed"),
        pytest.param({"allow": [ON_LIST]}, {}, NOT_ALLOWED, id="an unreadable list admits nobody"),
        pytest.param({"allow": [ON_LIST]}, {OTHER_LIST: True}, NOT_ALLOWED, id="listed on another"),
        pytest.param({"deny": [ON_LIST]}, {LIST: True}, DENIED, id="on the deny list"),
        pytest.param({"deny": [ON_LIST]}, {LIST: False}, OK, id="not on the deny list"),
        pytest.param({"deny": [ON_LIST]}, {}, DENIED, id="an unreadable deny list denies everybody"),
        pytest.param({"allow": [ON_LIST], "deny": [ON_LIST]}, {LIST: True}, DENIED, id="deny wins"),
        pytest.param(
            {"allow": [ON_LIST, ON_OTHER]}, {LIST: True, OTHER_LIST: False}, NOT_ALLOWED, id="both by default"
        ),
        pytest.param({"allow": [ON_LIST, ON_OTHER]}, {LIST: True, OTHER_LIST: True}, OK, id="on both"),
        pytest.param(
            {"allow": [ON_LIST, ON_OTHER], "match_allow": "any"}, {OTHER_LIST: True}, OK, id="any of them is enough"
        ),
        pytest.param({"allow": [ON_LIST, address(ME)]}, {LIST: True}, OK, id="list and address hold"),
        pytest.param({"allow": [ON_LIST, address(ME)]}, {LIST: False}, NOT_ALLOWED, id="address without list"),
        pytest.param({"allow": [ON_LIST, address(OTHER)]}, {LIST: True}, NOT_ALLOWED, id="list without address"),
        pytest.param(
            {"deny": [ON_LIST, ON_OTHER], "match_deny": "all"}, {LIST: True, OTHER_LIST: False}, OK, id="not all deny"
        ),
        pytest.param({"deny": [ON_LIST, ON_OTHER]}, {LIST: False, OTHER_LIST: True}, DENIED, id="any denies"),
    ],
)
def test_access_list_rule(credentials: object, memberships: dict[AccessList, bool], expected: Verdict) -> None:
    parsed = parse_credentials(credentials)
    assert set(memberships) <= {*parsed.access_lists, OTHER_LIST}
    assert parsed.verdict(ME, memberships) is expected


def test_credentials_tell_once_which_lists_they_need() -> None:
    raw = {"allow": [ON_LIST, ON_LIST, address(ME)], "deny": [ON_OTHER, ON_LIST]}
    assert parse_credentials(raw).access_lists == (LIST, OTHER_LIST)
    assert parse_credentials({"allow": [address(ME), UNKNOWN]}).access_lists == ()


def test_more_lists_than_one_batch_give_access_to_nobody() -> None:
    lists = [{**ON_LIST, "chainId": number + 1} for number in range(MAX_ACCESS_LISTS + 1)]
    assert len(parse_credentials({"allow": lists[1:]}).access_lists) == MAX_ACCESS_LISTS
    assert parse_credentials({"allow": lists}).malformed


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        pytest.param([], OK, id="empty"),
        pytest.param([{}], OK, id="one that says nothing"),
        pytest.param([{"allow": [address(ME)]}], OK, id="allowed"),
        pytest.param([{}, {"deny": [address(ME)]}], DENIED, id="denied by the second"),
        pytest.param([{"allow": [address(OTHER)]}, {"deny": [address(ME)]}], DENIED, id="deny wins over all"),
        pytest.param([{"allow": [address(ME)]}, {"allow": [address(OTHER)]}], NOT_ALLOWED, id="each must admit"),
        pytest.param({"allow": [address(ME)]}, OK, id="an object as in DDO 4"),
        pytest.param(
            [{"allow": [address(ME)], "deny": [address(OTHER)], "match_allow": "any", "match_deny": "any"}],
            OK,
            id="every key",
        ),
        pytest.param([{}, 7], NOT_ALLOWED, id="one malformed"),
        pytest.param([address(OTHER)], NOT_ALLOWED, id="an entry in place of lists"),
        pytest.param([{"credentials": {"deny": [address(ME)]}}], NOT_ALLOWED, id="lists that lie too deep"),
        pytest.param(
            {"allow": [{"type": "verifiableCredential", "requestCredentials": []}]}, NOT_ALLOWED, id="policy server's"
        ),
        pytest.param({"allow": {"request_credentials": [{"type": "VerifiableId"}]}}, NOT_ALLOWED, id="ddo.js example"),
    ],
)
def test_ddo_5_may_have_a_list_of_credentials(credentials: object, expected: Verdict) -> None:
    assert parse_credentials(credentials, may_be_list=True).verdict(ME) is expected


@pytest.mark.parametrize(
    "credentials",
    [
        {"allow": [{**ON_LIST, "accessList": "0x12"}]},
        {"allow": [{**ON_LIST, "accessList": None}]},
        {"deny": [{**ON_LIST, "chainId": None}]},
        {"deny": [{**ON_LIST, "chainId": 0}]},
        {"deny": [{**ON_LIST, "chainId": True}]},
        {"deny": [{**ON_LIST, "chainId": "0x1"}]},
        {"deny": [{**ON_LIST, "chainId": 1.5}]},
        {"deny": [{**ON_LIST, "chainId": "1" * 19}]},
        "not JSON",
        "[" * 100_000,
        "7",
        [address(ME)],
        [{"allow": [address(ME)]}],
        7,
        True,
        {"allow": 7},
        {"allow": "all"},
        {"allow": {"type": "address"}},
        {"allow": [ME]},
        {"allow": [None]},
        {"allow": [{"values": [ME]}]},
        {"allow": [{"type": 7, "values": [ME]}]},
        {"allow": [{"type": "address"}]},
        {"allow": [{"type": "address", "values": ME}]},
        {"allow": [{"type": "address", "values": {"address": ME}}]},
        {"allow": [address(ME, None)]},
        {"allow": [address(ME, 7)]},
        {"allow": [address({"addr": ME})]},
        {"deny": "nobody"},
        {"deny": [{"type": "address"}]},
        {"deny": [address(7)]},
        {"allow": [address(ME)], "match_allow": "some"},
        {"allow": [address(ME)], "match_allow": ["any"]},
        {"deny": [address(OTHER)], "match_deny": 1},
    ],
    ids=lambda value: str(value)[:30],
)
def test_malformed_credentials_give_access_to_nobody(credentials: object) -> None:
    parsed = parse_credentials(credentials)
    assert parsed.malformed
    assert parsed.verdict(ME) is NOT_ALLOWED


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.sampled_from([ME, "*"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
entries = st.lists(
    st.fixed_dictionaries({"type": st.just("address") | json_values}, optional={"values": json_values}), max_size=3
)
almost = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("allow", "deny", "match_allow", "match_deny"), entries | json_values)
)


@given(json_values | almost)
def test_any_json_gives_a_verdict(raw: object) -> None:
    assert parse_credentials(raw).verdict(ME) in Verdict


@given(entries, entries, st.sampled_from([None, "any", "all"]))
def test_who_is_denied_is_never_admitted(allow: object, deny: list[object], match_allow: str | None) -> None:
    raw = {"allow": allow, "deny": [*deny, address(ME)], "match_allow": match_allow}
    assert parse_credentials(raw).verdict(ME) is not OK
