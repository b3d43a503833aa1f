"""The failures that may end a run without being a defect of the benchmarks."""

from http.client import HTTPException

from web3.exceptions import Web3Exception

from benchmarks.daemon import PartFailed
from benchmarks.plans import LoadFailed
from provider.testing.chain.wallet import TransactionReverted
from provider.testing.child import ChildFailed
from provider.testing.http_client import ReplyRefused


def expected() -> tuple[type[Exception], ...]:
    """Return the exceptions that are reported in one line."""
    return (
        PartFailed,
        LoadFailed,
        ChildFailed,
        ReplyRefused,
        TransactionReverted,
        Web3Exception,
        HTTPException,
        OSError,
    )
