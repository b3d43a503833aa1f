"""Warm authorised downloads through our server on several interpreters, those of `--interpreter`."""

from benchmarks import interpreters, peers, transfers
from benchmarks.cases import KIB, small
from benchmarks.options import Options
from benchmarks.result import Result
from benchmarks.stage import OURS, Needs

QUESTION = "What does another interpreter bring to a warm download?"
NOTES = (
    "Every server runs the same code. The first one and the bare Tornado handler run on the interpreter of this run.",
    "An interpreter that was built with profile-guided optimisation has `optimised` in its name.",
)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    others = {f"{OURS}, {name}": path for name, path in interpreters.named(options.interpreters).items()}
    return transfers.measured(
        "interpreters",
        QUESTION,
        NOTES,
        options,
        needs=Needs(
            (KIB,),
            (peers.hello_peer(),),
            servers={OURS: {}, **{name: {} for name in others}},
            interpreters=others,
        ),
        cases=[small(16), small(1)],
        rivals={"× hello": frozenset({peers.HELLO}), "× this": frozenset({OURS})},
    )
