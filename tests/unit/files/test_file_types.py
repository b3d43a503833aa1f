"""File objects of every type but `url`: fields, the documented text for each fault, no secrets shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import FileObjectInvalid
from provider.files.file_object import ArweaveFile, FtpFile, GraphqlFile, IpfsFile, S3File, parse_file_object

MALFORMED = "malformed file object."
MISSING = "malformed service files, missing required keys."
CID = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
ADDRESS = "0x967da4048cd07ab37855c090aaf366e4ce1b9f48"
ABI: dict[str, Any] = {
    "type": "function",
    "name": "get",
    "stateMutability": "view",
    "inputs": [{"name": "key", "type": "uint256"}],
    "outputs": [{"name": "", "type": "string"}],
}
ACCESS = {
    "endpoint": "https://s3.test/SECRET",
    "region": "eu-west-1",
    "objectKey": "folder/SECRET data.csv",
    "bucket": "SECRET-bucket",
    "accessKeyId": "SECRET",
    "secretAccessKey": "SECRET",
    "forcePathStyle": True,
}


def test_every_field_is_taken() -> None:
    headers, userdata = {"X-Key": "SECRET"}, {"a": 1}
    more = {"headers": headers, "userdata": userdata}
    files = [
        parse_file_object(raw)
        for raw in (
            {"type": "ipfs", "hash": CID, **more},
            {"type": "arweave", "transactionId": "SECRET_-", **more},
            {"type": "graphql", "url": "https://SECRET.test/g", "query": "SECRET", **more},
            {"type": "s3", "s3Access": ACCESS},
            {"type": "ftp", "url": "ftps://SECRET:SECRET@SECRET.test/a%20b.csv"},
            {"type": "smartcontract", "address": ADDRESS, "abi": ABI, "chainId": 8996, **more},
        )
    ]
    fields = (("X-Key", "SECRET"),)
    assert files[:5] == [
        IpfsFile(CID, fields, userdata),
        ArweaveFile("SECRET_-", fields, userdata),
        GraphqlFile("https://SECRET.test/g", "SECRET", fields, userdata),
        S3File(
            "https://s3.test/SECRET", "SECRET-bucket", "folder/SECRET data.csv", "SECRET", "SECRET", "eu-west-1", True
        ),
        FtpFile("ftps://SECRET:SECRET@SECRET.test/a%20b.csv"),
    ]
    assert "SECRET" not in repr(files)
    assert CID not in repr(files)
    assert [file.type for file in files] == ["ipfs", "arweave", "graphql", "s3", "ftp", "smartcontract"]
    assert [file.url_path for file in files] == [None, None, None, "/folder/SECRET%20data.csv", "/a%20b.csv", None]


def test_optional_fields_of_s3_have_the_values_of_ocean_node() -> None:
    access = {name: value for name, value in ACCESS.items() if name not in ("region", "forcePathStyle")}
    file = parse_file_object({"type": "s3", "s3Access": access | {"endpoint": "s3.test"}})
    assert isinstance(file, S3File)
    assert (file.endpoint, file.region, file.path_style) == ("https://s3.test", "us-east-1", False)


@pytest.mark.parametrize(("value", "path_style"), [("true", True), ("True", True), ("false", False), ("", False)])
def test_flags_of_s3_may_be_text(value: str, path_style: bool) -> None:
    file = parse_file_object(s3(forcePathStyle=value))
    assert isinstance(file, S3File)
    assert file.path_style is path_style


@pytest.mark.parametrize(("value", "pays"), [("requester", True), (True, True), ("false", False), (None, False)])
def test_the_requester_pays_where_the_file_object_says_so(value: object, pays: bool) -> None:
    file = parse_file_object(s3(requestPayer=value))
    assert isinstance(file, S3File)
    assert file.requester_pays is pays


def test_s3_without_keys_has_none() -> None:
    file = parse_file_object(s3(accessKeyId=None, secretAccessKey=None))
    assert isinstance(file, S3File)
    assert (file.access_key_id, file.secret_access_key, file.session_token) == ("", "", "")


@pytest.mark.parametrize(
    "path", [CID, "a" * 43, "A-_z9", f"{CID}/folder/data.csv", f"{CID}/", f"{CID}//x", f"{CID}/...", f"{CID}/a+b=c~"]
)
def test_ids_and_the_paths_below_them_pass(path: str) -> None:
    for raw in ({"type": "ipfs", "hash": path}, {"type": "arweave", "transactionId": path}):
        file = parse_file_object(raw)
        assert isinstance(file, IpfsFile | ArweaveFile)
        assert file.path.replace("%2B", "+").replace("%3D", "=") == path


def test_paths_below_an_id_are_encoded() -> None:
    file = parse_file_object({"type": "ipfs", "hash": f"{CID}/ü &.csv"})
    assert isinstance(file, IpfsFile)
    assert file.path == f"{CID}/%C3%BC%20%26.csv"


@pytest.mark.parametrize(
    "path",
    [
        *[
            "http://evil.test/",
            "//evil.test",
            "@evil.test",
            "ipfs:a",
            "/x",
            "..",
            "a/..",
            "a/./b",
            "a/../b",
            "a?x",
            "a#x",
            "a%2e",
            "a\\b",
            "a/b\\c",
            "é",
        ],
        *("a b", "a\r\nX: y", "a/\x00", "a/\ud800", "a" * 129, "a/" + "b" * 5000, 7, ["a"]),
    ],
)
def test_nothing_in_an_id_leads_elsewhere(path: object) -> None:
    """K31."""
    for raw in ({"type": "ipfs", "hash": path}, {"type": "arweave", "transactionId": path}):
        with pytest.raises(FileObjectInvalid, match=MALFORMED):
            parse_file_object(raw)


def contract(**changes: object) -> dict[str, object]:
    return {"type": "smartcontract", "address": ADDRESS, "abi": ABI, **changes}


def abi(**changes: object) -> dict[str, object]:
    return contract(abi={**ABI, **changes})


def s3(**changes: object) -> dict[str, object]:
    return {"type": "s3", "s3Access": {**ACCESS, **changes}}


NO_ADDRESS = "malformed smartcontract type, missing contract address"
FAULTS = [
    ({"type": "ipfs"}, MISSING),
    ({"type": "ipfs", "hash": ""}, MISSING),
    ({"type": "ipfs", "hash": CID, "headers": ["x"]}, MALFORMED),
    ({"type": "arweave"}, "malformed service files, missing transactionId."),
    ({"type": "arweave", "transactionId": None}, "malformed service files, missing transactionId."),
    ({"type": "graphql", "query": "q"}, "missing graphql endpoint"),
    ({"type": "graphql", "url": "https://g.test"}, "missing graphql query"),
    ({"type": "graphql", "url": "https://g.test", "query": {"a": 1}}, MALFORMED),
    ({"type": "graphql", "url": 7, "query": "q"}, MALFORMED),
    (contract(address=""), NO_ADDRESS),
    (contract(address=None), NO_ADDRESS),
    (contract(address="0x12"), MALFORMED),
    (contract(address=7), MALFORMED),
    (contract(chainId="1"), MALFORMED),
    (contract(chainId=True), MALFORMED),
    (contract(chainId=0), MALFORMED),
    (contract(chainId=2**70), MALFORMED),
    (contract(abi=None), "invalid abi"),
    (contract(abi=[ABI]), "invalid abi"),
    (contract(abi={}), "invalid abi"),
    (contract(abi={name: value for name, value in ABI.items() if name != "inputs"}), "invalid abi"),
    (abi(type="event"), "invalid abi"),
    (abi(inputs="uint256"), "invalid abi"),
    (abi(inputs=[{"name": "a"}]), "invalid abi"),
    (abi(inputs=[{"name": 7, "type": "uint256"}]), "invalid abi"),
    (abi(stateMutability="payable"), "only view or pure functions are allowed"),
    (abi(stateMutability=None), "only view or pure functions are allowed"),
    (abi(name=""), "missing name"),
    (abi(name="a(b)"), "invalid abi"),
    ({"type": "s3"}, MISSING),
    ({"type": "s3", "s3Access": "x"}, MALFORMED),
    (s3(bucket=""), MISSING),
    (s3(objectKey=None), MISSING),
    (s3(objectKey="  "), MALFORMED),
    (s3(endpoint=None), MISSING),
    (s3(endpoint="ftp://x/y"), "Invalid file name format. It was not possible to get the file name."),
    (s3(accessKeyId=None), MISSING),
    (s3(secretAccessKey=""), MISSING),
    (s3(accessKeyId=None, secretAccessKey=None, sessionToken="t"), MISSING),
    (s3(sessionToken="a\r\nb"), MALFORMED),
    (s3(forcePathStyle="yes"), MALFORMED),
    (s3(forcePathStyle=1), MALFORMED),
    (s3(requestPayer="bucketOwner"), MALFORMED),
    (s3(accessKeyId="a\r\nX: y"), MALFORMED),
    (s3(secretAccessKey=7), MALFORMED),
    (s3(bucket="a b"), MALFORMED),
    (s3(region=7), MALFORMED),
    (s3(forcePathStyle="yes"), MALFORMED),
    ({"type": "ftp"}, MISSING),
    ({"type": "ftp", "url": "https://a/b"}, MALFORMED),
    ({"type": "ftp", "url": "ftp://a/\r\nb"}, MALFORMED),
    ({"type": "ftp", "url": 7}, MALFORMED),
]


@pytest.mark.parametrize(("raw", "text"), FAULTS, ids=[f"{n}-{text[:20]}" for n, (_, text) in enumerate(FAULTS)])
def test_each_fault_has_its_text(raw: dict[str, object], text: str) -> None:
    with pytest.raises(FileObjectInvalid) as caught:
        parse_file_object(raw)
    assert str(caught.value) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.sampled_from(["function", "view", "tuple[]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ABI, *ACCESS, "type"]), inner),
    max_leaves=12,
)


@given(
    st.sampled_from(["ipfs", "arweave", "graphql", "smartcontract", "s3", "ftp"]),
    st.dictionaries(
        st.sampled_from(["hash", "transactionId", "url", "query", "address", "abi", "s3Access", "headers"]), json_values
    ),
)
def test_any_object_is_a_file_or_a_file_error(kind: str, raw: dict[str, object]) -> None:
    try:
        parse_file_object({"type": kind, **raw})
    except FileObjectInvalid:
        pass
