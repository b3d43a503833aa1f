"""The order gives no right to consume."""

from provider.errors.base import Fault, ProviderError


class OrderError(ProviderError):
    """Base of refused orders. The text gives the reason; each reason has a row below."""

    code = "order_refused"
    fault: Fault = "consumer"
    remedy = "Read the reason at the end of the text, and look it up below."
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
    remedy = "Order the datatoken of the service in the current DDO."
    text = ""


class OrderNotFound(OrderError):
    """There is no such transaction, or it holds no order of this datatoken and service."""

    code = "order_not_found"
    remedy = "Wait until the transaction is mined. Send the transaction in which this service was ordered."
    text = "Cannot find the event for the order transaction."


class OrderTransactionFailed(OrderError):
    """The transaction was reverted."""

    code = "order_transaction_failed"
    remedy = "Order again: a reverted transaction buys nothing."
    text = "order transaction failed."


class OrderFeeMissing(OrderError):
    """The transaction holds no provider fee event for this datatoken and service."""

    code = "order_fee_missing"
    remedy = "Order with the `providerFee` that initialize returns."
    text = "Cannot find the event for the provider fee."


class OrderFeeMismatch(OrderError):
    """The provider fee is another provider's, or this Provider did not sign it."""

    code = "order_fee_mismatch"
    remedy = "Order with a `providerFee` that this Provider has signed."
    text = "Provider was not able to check the signed message in ProviderFees event"


class OrderEnvironmentMismatch(OrderError):
    """The order was made for another compute environment."""

    code = "order_environment_mismatch"
    remedy = "Initialize and order for the environment in which the job will run."
    text = "Mismatch between ordered c2d environment and selected one."


class OrderFeeExpired(OrderError):
    """The provider fee of a compute order has expired, and the period of grace is over."""

    code = "order_fee_expired"
    remedy = "Call initializeCompute and reuse the order with the new fee."
    text = "Ordered c2d time was exceeded, check validUntil."


class OrderUnderpaid(OrderError):
    """Less than one datatoken was paid."""

    code = "order_underpaid"
    remedy = "Order one whole datatoken."
    text = "The amount in the event is less than the amount requested."


class OrderExpired(OrderError):
    """The service's timeout has passed since OrderStarted."""

    code = "order_expired"
    remedy = "Order again."
    text = "The order has expired."


class OrderNotConsumer(OrderError):
    """The caller is neither the consumer nor the payer of the order."""

    code = "order_not_consumer"
    remedy = "Send the request with the address of the order's consumer or payer."
    text = "sender of order transaction is not the consumer/payer."
