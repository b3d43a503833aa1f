"""Hypothesis strategy: a kept input with a few edits. It stands in for coverage guidance where atheris is missing."""

from collections.abc import Sequence

from hypothesis import strategies as st

# What wire text hinges on.
WORDS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"=",
        b"/",
        b"%",
        b'"',
        b"\\",
        b"0",
        b"-1",
        b"\xc2\xb2",
    ),
    *(b"\x85", b"\xa0", b"\xff", b"\xed\xa0\x80", b"{}", b"[]", b"null", b"1e400", b"NaN", b"9" * 19, b"[" * 60),
    *(b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 1\r\n", b"HTTP/1.0", b"../", b"bytes=0-"),
)


def mutated(seeds: Sequence[bytes], max_bytes: int) -> st.SearchStrategy[bytes]:
    """Any bytes, or one of `seeds` after up to six edits."""
    pieces = st.one_of(st.sampled_from(WORDS), st.binary(max_size=8), st.sampled_from(list(seeds)))

    @st.composite
    def edited(draw: st.DrawFn) -> bytes:
        data = draw(st.sampled_from(list(seeds)))
        for _ in range(draw(st.integers(0, 6))):
            at = draw(st.integers(0, len(data)))
            cut = draw(st.sampled_from((0, 0, 1, 2, 8, 64)))
            data = data[:at] + draw(st.one_of(st.just(b""), pieces)) + data[at + cut :]
        return data[:max_bytes]

    return st.one_of(edited(), st.binary(max_size=min(max_bytes, 200)))
