import json

import pytest

from provider.commands.check.table import Finding, failed, has_failed, passed, render, show, skipped, summary, warned

FINDINGS = [
    passed("universal key", "its address is 0xabc"),
    failed("chain 1 endpoint 1 (node)", "no connection", "NETWORK_URL: is the node running?"),
    warned("IPFS gateway (ipfs.io)", "no answer within 10 s", "IPFS_GATEWAY: assets that need it will fail"),
]


def test_columns_are_aligned() -> None:
    lines = render(FINDINGS, width=0).splitlines()
    assert lines[0].split() == ["what", "state", "detail", "what", "to", "do"]
    for heading, texts in (
        ("state", ["ok", "FAIL", "warn"]),
        ("detail", ["its address", "no connection", "no answer"]),
        ("what to do", ["", "NETWORK_URL", "IPFS_GATEWAY"]),
    ):
        column = lines[0].index(heading)
        for line, text in zip(lines[2:5], texts, strict=True):
            assert line[column:].startswith(text)


def test_without_a_terminal_each_finding_is_one_plain_line() -> None:
    text = render([*FINDINGS, passed("x", "y" * 500)], width=0)
    assert len(text.splitlines()) == 2 + 4 + 2
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [80, 100, 132])
def test_lines_fit_the_terminal_and_lose_no_word(width: int) -> None:
    findings = [*FINDINGS, failed("chain 137 ERC721Factory", "word " * 40, "advice " * 30)]
    text = render(findings, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert text.count("word") == 40
    assert text.count("advice") == 30


def test_narrow_terminal_still_shows_everything() -> None:
    text = render(FINDINGS, width=20)
    assert "FAIL" in text
    assert "NETWORK_URL:" in text


@pytest.mark.parametrize("hostile", ["a\x1b[31mb", "a\nb", "a\rb", "a\u202eb", "a\u00e9\u4e16b", "a\x00b", "a\tb"])
def test_only_printable_ascii_comes_out(hostile: str) -> None:
    text = render([failed(hostile, hostile, hostile)], width=0)
    assert all(letter == "\n" or " " <= letter <= "~" for letter in text)
    assert len(text.splitlines()) == 5


def test_colour_marks_the_state_only() -> None:
    coloured = render(FINDINGS, width=0, colour=True)
    assert "\x1b[31mFAIL" in coloured
    for code in ("31", "32", "33"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured.replace("\x1b[0m", "") == render(FINDINGS, width=0)


@pytest.mark.parametrize(
    ("findings", "failing", "line"),
    [
        ([], False, "ready to serve: 0 ok, 0 failures, 0 warnings"),
        (FINDINGS[:1], False, "ready to serve: 1 ok, 0 failures, 0 warnings"),
        ([FINDINGS[0], FINDINGS[2]], False, "ready to serve: 1 ok, 0 failures, 1 warning"),
        (FINDINGS, True, "not ready to serve: 1 ok, 1 failure, 1 warning"),
    ],
    ids=["nothing", "ok", "warning", "failure"],
)
def test_summary_counts_and_only_failures_decide(findings: list[Finding], failing: bool, line: str) -> None:
    assert has_failed(findings) is failing
    assert summary(findings) == line
    assert render(findings, width=0).splitlines()[-1] == line


def test_json_holds_each_finding_and_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(FINDINGS, form="json") == 1
    printed = capsys.readouterr().out
    told = json.loads(printed)
    assert printed.count("\n") == 1
    assert (told["ok"], told["verdict"]) == (False, "not ready to serve")
    assert told["findings"][1] == {
        "what": "chain 1 endpoint 1 (node)",
        "state": "FAIL",
        "detail": "no connection",
        "what_to_do": "NETWORK_URL: is the node running?",
    }
    assert show(FINDINGS[:1], form="json") == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_quiet_shows_only_what_needs_attention(capsys: pytest.CaptureFixture[str]) -> None:
    assert show([*FINDINGS, skipped("later")], form="quiet") == 1
    assert capsys.readouterr().out.splitlines() == [
        "FAIL: chain 1 endpoint 1 (node): no connection: NETWORK_URL: is the node running?",
        "warn: IPFS gateway (ipfs.io): no answer within 10 s: IPFS_GATEWAY: assets that need it will fail",
    ]
    assert show(FINDINGS[:1], form="quiet") == 0
    assert capsys.readouterr().out == ""
