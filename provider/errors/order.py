"""No valid paid right to consume."""

from provider.errors.base import ProviderError


class OrderError(ProviderError):
    """Base of refused orders; `check_order` raises the exact subclass with the documented reason."""

    code = "order_refused"
    http_status = 400
    text = "The order could not be validated."

    def of_transaction(self, tx_id: str, network: str) -> "OrderError":
        """The same refusal in the sentence that clients show; `tx_id` is `0x` and 64 hex digits."""
        reason = f"Provider {network}: {self}" if str(self) else ""
        whole = type(self)(
            f"Order with tx_id {tx_id} could not be validated due to error: {reason}", detail=self.detail
        )
        whole.network = network
        return whole


class OrderDatatokenUnknown(OrderError):
    """The data NFT did not deploy the datatoken (wire: the reason is empty)."""

    code = "order_datatoken_unknown"
    text = ""


class OrderNotFound(OrderError):
    """No such transaction, or it holds no order of this datatoken and service."""

    code = "order_not_found"
    text = "Cannot find the event for the order transaction."


class OrderTransactionFailed(OrderError):
    """The transaction was reverted."""

    code = "order_transaction_failed"
    text = "order transaction failed."


class OrderFeeMissing(OrderError):
    """The transaction holds no provider fee event for this datatoken and service."""

    code = "order_fee_missing"
    text = "Cannot find the event for the provider fee."


class OrderFeeMismatch(OrderError):
    """The provider fee is another provider's, or was not signed by us."""

    code = "order_fee_mismatch"
    text = "Provider was not able to check the signed message in ProviderFees event"


class OrderEnvironmentMismatch(OrderError):
    """The order was made for another compute environment."""

    code = "order_environment_mismatch"
    text = "Mismatch between ordered c2d environment and selected one."


class OrderFeeExpired(OrderError):
    """The provider fee of a compute order has expired, grace included."""

    code = "order_fee_expired"
    text = "Ordered c2d time was exceeded, check validUntil."


class OrderUnderpaid(OrderError):
    """Less than one datatoken was paid."""

    code = "order_underpaid"
    text = "The amount in the event is less than the amount requested."


class OrderExpired(OrderError):
    """The service's timeout has passed since OrderStarted."""

    code = "order_expired"
    text = "The order has expired."


class OrderNotConsumer(OrderError):
    """The caller is neither the consumer nor the payer of the order."""

    code = "order_not_consumer"
    text = "sender of order transaction is not the consumer/payer."
