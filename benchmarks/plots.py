"""One picture for each result: the first figure of every variant, by case, as bars with their spread."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.result import Result, Row

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 9.0, 0.28, 110
COLOURS = [f"C{number}" for number in range(10)]
# If bars are longer than this many times the shortest one, nothing can be seen of the shortest.
LOGARITHMIC_FROM = 12.0


def draw(result: Result, path: Path) -> None:
    """Write the PNG."""
    rows = [row for row in result.rows if row.figures]
    titles = list(dict.fromkeys(row.figures[0].title for row in rows))
    heights = [max(2, sum(row.figures[0].title == title for row in rows)) for title in titles]
    figure, axes = plt.subplots(
        len(titles),
        1,
        squeeze=False,
        figsize=(WIDTH_INCHES, HEIGHT_INCHES * sum(heights) + 1.0 * len(titles)),
        height_ratios=heights,
        layout="constrained",
    )
    variants = list(dict.fromkeys(row.variant for row in rows))
    for axis, title in zip(axes[:, 0], titles, strict=True):
        _bars(axis, [row for row in rows if row.figures[0].title == title], title, variants)
    figure.suptitle(f"{result.script}: medians, min to max", fontsize=10)
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
    plt.close(figure)


def _bars(axis: Axes, rows: Sequence[Row], title: str, variants: Sequence[str]) -> None:
    positions, place, previous = [], 0.0, ""
    for row in rows:
        place += 1.0 if row.case == previous else 1.6
        previous = row.case
        positions.append(place)
    firsts = [row.figures[0] for row in rows]
    medians = [figure.median for figure in firsts]
    spread = [[figure.median - figure.low for figure in firsts], [figure.high - figure.median for figure in firsts]]
    colours = [COLOURS[variants.index(row.variant) % len(COLOURS)] for row in rows]
    axis.barh(positions, medians, xerr=spread, color=colours, height=0.85, error_kw={"elinewidth": 0.8})
    labels = [f"{row.case}: {row.variant}" if len({row.case for row in rows}) > 1 else row.variant for row in rows]
    axis.set_yticks(positions, labels, fontsize=7)
    axis.invert_yaxis()
    if min(medians) > 0 and max(medians) / min(medians) > LOGARITHMIC_FROM:
        axis.set_xscale("log")
    for position, figure in zip(positions, firsts, strict=True):
        axis.annotate(
            f" {figure.median:.{figure.digits}f}", (max(figure.high, figure.median), position), va="center", fontsize=7
        )
    axis.margins(x=0.1)
    axis.set_xlabel(title, fontsize=8)
    axis.tick_params(axis="x", labelsize=7)
