"""The page of all error codes, made from `docs/errors.md`, so that the dashboard can link to each (pure)."""

import re
from collections.abc import Iterator
from html import escape

_CODE = re.compile(r"`([^`]+)`")
_NAMED = re.compile(r"`(\w+)`", re.ASCII)
_CELLS = re.compile(r"(?<!\\)\|")
_HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Error codes</title>
<link rel="icon" type="image/svg+xml" href="icon.svg">
<link rel="stylesheet" href="dashboard.css">
</head>
<body class="page">
<p><a href="./">Dashboard</a></p>
"""


def errors_page(markdown: str) -> str:
    """HTML with one row for each code, whose id is the code."""
    return _HEAD + "".join(_blocks(markdown, set())) + "</body>\n</html>\n"


def _blocks(markdown: str, known: set[str]) -> Iterator[str]:
    prefix = ""
    for block in markdown.split("\n\n"):
        lines = block.strip(" \n").splitlines()
        if not lines:
            continue
        if lines[0].startswith("#"):
            level, _, title = lines[0].partition(" ")
            # The table of reasons leaves out this beginning of their codes.
            prefix = "compute_" if title.startswith("Reasons") else ""
            yield f"<h{len(level)}>{_inline(title)}</h{len(level)}>\n"
        elif lines[0].startswith("|"):
            yield _table(lines, prefix, known)
        else:
            yield f"<p>{_inline(' '.join(lines))}</p>\n"


def _table(lines: list[str], prefix: str, known: set[str]) -> str:
    head, _, *rows = [[cell.strip(" ") for cell in _CELLS.split(line)[1:-1]] for line in lines]
    heads = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in head)
    return (
        f'<div class="table"><table><thead><tr>{heads}</tr></thead><tbody>\n'
        + "".join(_row(cells, prefix, known) for cells in rows)
        + "</tbody></table></div>\n"
    )


def _row(cells: list[str], prefix: str, known: set[str]) -> str:
    """The first row of a code has its id."""
    named = _NAMED.fullmatch(cells[0])
    code = prefix + named[1] if named else ""
    identity = f' id="{code}"' if code and code not in known else ""
    known.add(code)
    return f"<tr{identity}>{''.join(f'<td>{_inline(cell)}</td>' for cell in cells)}</tr>\n"


def _inline(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text.replace("\\|", "|"), quote=False))
