"""Small downloads beside large streams: their duration, next to rivals that move the same bytes."""

from benchmarks import beside, haproxy, machine, peers, transfers
from benchmarks import stage as stages
from benchmarks.cases import small
from benchmarks.load import Load
from benchmarks.measure import Variant
from benchmarks.options import Options
from benchmarks.plans import ConnectionPlan
from benchmarks.processes import pin, tree
from benchmarks.result import Case, Result, summarise
from benchmarks.stage import Needs

QUESTION = "How long do small downloads take while 8 large streams run, next to the same alone?"
STREAM_REQUESTS = 8  # of each stream: more than any run has time for
PEERS = (*peers.nginx_tuned(), peers.haproxy_peer(haproxy.SPLICING))
NOTES = (
    "CPU µs/request beside streams holds the streams' part too; MB/s beside is what the streams moved meanwhile.",
    "The streams' consumers share their cores with origin and load: a server that moves more makes its clients wait.",
)


def run(options: Options) -> Result:
    """Start everything, measure, end everything."""
    cases = beside.cases(options)
    load_before = machine.load_average()
    large = Case("stream", "GB", beside.BUYERS, 1, options.large_bytes, requests=1)

    def streams(variant: Variant) -> tuple[ConnectionPlan, ...]:
        return variant.plans(large, STREAM_REQUESTS, 0)[beside.SMALL_CONNECTIONS :]

    needs = Needs([transfers.WARM_BYTES, options.large_bytes], PEERS)
    with stages.opened(needs, options) as stage, Load() as load:
        pin(tree(load.pid), stage.others)
        variants = stage.variants(stage.buy(beside.BUYERS))
        samples = beside.Beside(stage.bench(small(1)), load, streams).interleave(cases, variants)
    facts = (*stage.facts, *transfers.circumstances(load_before, options))
    rows = summarise(cases, samples, answer="p99 ms", rivals={"× nginx": peers.NGINX_TUNED, "× haproxy": peers.HAPROXY})
    return Result("fairness", QUESTION, facts, (*NOTES, *stage.notes), rows, samples)
