"""What may end a run without being a defect of the benchmarks."""

from http.client import HTTPException

from web3.exceptions import Web3Exception

from benchmarks.daemon import PartFailed
from benchmarks.plans import LoadFailed
from provider.demo.chain.wallet import TransactionReverted
from provider.demo.child import ChildFailed
from provider.demo.http_client import ReplyRefused


def expected() -> tuple[type[Exception], ...]:
    """Exceptions that are told in one line."""
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
