"""File names out of hostile hands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.upstream.file_names import (
    MAX_NAME_BYTES,
    guess_content_type,
    name_in_disposition,
    name_in_path,
    safe_name,
    with_extension,
)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/data.csv", "data.csv"),
        ("/", ""),
        ("/a/", ""),
        ("/my%20data.csv", "my data.csv"),
        ("/caf%C3%A9.csv", "café.csv"),
        ("/%2e%2e%2fetc%2fpasswd", "passwd"),
        ("/..", ""),
        ("/.", ""),
        ("/a%0d%0aSet-Cookie:%20x", "aSet-Cookie x"),
        ("/a%00b", "ab"),
        ("/a%22;b.csv", "ab.csv"),
        ("/a%5Cb.csv", "b.csv"),
        ("/%E2%80%AEgpj.exe", "gpj.exe"),
        ("/.htaccess", ".htaccess"),
    ],
)
def test_a_name_is_the_last_segment_made_safe(path: str, name: str) -> None:
    assert name_in_path(path) == name


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, ""),
        ("inline", ""),
        ("attachment; filename=data.csv", "data.csv"),
        ("attachment;filename=data.csv", "data.csv"),
        ('attachment; filename="my data.csv"; size=1', "my data.csv"),
        (r'attachment; filename="a\"b.csv"', "ab.csv"),
        ('attachment; filename="a;b.csv"', "ab.csv"),
        ("attachment; FileName = data.csv ; x=y", "data.csv"),
        ("attachment; filename*=UTF-8''caf%C3%A9.csv", "café.csv"),
        ("attachment; filename=plain.csv; filename*=utf-8'en'extended.csv", "extended.csv"),
        ("attachment; filename*=iso-8859-1''caf%E9.csv; filename=x", "café.csv"),
        ("attachment; filename*=x-unknown''a.csv; filename=b.csv", "b.csv"),
        ('attachment; filename="caf\u00c3\u00a9.csv"', "café.csv"),
        ('attachment; filename="caf\u00e9.csv"', "café.csv"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename=""', ""),
        ("attachment; xfilename=a.csv", ""),
    ],
)
def test_a_name_is_read_from_content_disposition(value: str | None, name: str) -> None:
    assert name_in_disposition(value) == name


def test_a_long_name_keeps_its_extension() -> None:
    name = safe_name("é" * 500 + ".csv")
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert name.endswith("é.csv")


@given(st.text())
def test_any_text_becomes_a_safe_name(text: str) -> None:
    name = safe_name(text)
    assert len(name.encode()) <= MAX_NAME_BYTES
    assert not set(name) & set("/\\\"';\r\n\x00")
    assert name not in (".", "..")
    assert safe_name(name) == name


@given(st.text())
def test_any_disposition_is_read(value: str) -> None:
    name_in_disposition("attachment; filename=" + value)
    name_in_disposition("attachment; filename*=utf-8''" + value)


@pytest.mark.parametrize(
    ("name", "content_type", "expected"),
    [
        ("data", "text/csv; charset=utf-8", "data.csv"),
        ("data", "TEXT/PLAIN", "data.txt"),
        ("data.bin", "text/csv", "data.bin"),
        ("data", None, "data"),
        ("data", "x-unknown/y", "data"),
        ("data", "application/json", "data.json"),
    ],
)
def test_an_extension_is_added_when_there_is_none(name: str, content_type: str | None, expected: str) -> None:
    assert with_extension(name, content_type) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.csv", "text/csv"), ("a.json", "application/json"), ("a", None), ("data:x,y.csv", "text/csv")],
)
def test_a_content_type_is_guessed_from_the_extension(name: str, expected: str | None) -> None:
    assert guess_content_type(name) == expected
