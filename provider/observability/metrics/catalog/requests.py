"""Requests and refusals."""

from provider.observability.metrics.family import Family

# A warm request is a fraction of a millisecond, one that waits for a chain or an origin up to some seconds. Streams
# last as long as their consumers are slow; of those `provider_stream_bytes_per_second` tells more.
_REQUEST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)

REQUESTS = Family(
    "provider_requests_total",
    "counter",
    "Requests answered.",
    {
        "endpoint": "name of the endpoint, `unknown` for none",
        "status": "HTTP status; 499: no answer was sent",
    },
)
REQUEST_SECONDS = Family(
    "provider_request_seconds",
    "histogram",
    "Time from the request's head to the end of the answer, streaming included.",
    {"endpoint": "name of the endpoint"},
    _REQUEST,
)
REQUESTS_IN_PROGRESS = Family("provider_requests_in_progress", "gauge", "Requests that are being answered.")
ERRORS = Family(
    "provider_errors_total",
    "counter",
    "Refusals, failures and streams that ended early.",
    {"code": "error code or end of a stream, see `errors.md`"},
)
ORDER_REFUSALS = Family(
    "provider_order_refusals_total",
    "counter",
    "Orders that were refused; also among `provider_errors_total`.",
    {"code": 'error code, see "Orders" in `errors.md`; `compute_order_invalid` and `compute_fees_not_paid`'},
)
