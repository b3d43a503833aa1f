"""Every error that a client can see: its code (also the metric label), HTTP status and public text.

    ProviderError
    ├── RequestError            the request itself is wrong
    ├── AuthError               the request does not prove who is asking
    ├── AssetError              the asset or service cannot be consumed
    ├── OrderError              the order gives no right to consume
    ├── FileError               the file list or one of its file objects
    ├── LinkError               a link opens nothing, or no longer
    ├── PreconditionRefused     the file is not the version that the request demands
    ├── DecryptError            a document cannot be decrypted for the caller
    ├── ComputeError            a part of a compute request is refused
    ├── TooManyStreams          a limit that the operator set
    ├── LoadRefused             too much at once, whatever the request says
    ├── UpstreamError           the origin of the bytes
    ├── ServiceUnavailable      a service that the operator configured
    ├── ChainError              no JSON-RPC endpoint gave an answer
    └── StoreError              the server's own durable state

`detail` is for the log only. Public texts are constants of ours or the documented ones (`provider-api.md`
section 17); they never hold a URL, host, path, key, signature or an echo of the request.
"""

from provider.errors.access import (
    ContainerInvalid,
    PolicyRefused,
    PolicyServerUnavailable,
    RbacRefused,
    RbacUnavailable,
)
from provider.errors.asset import (
    AccessDenied,
    AssetError,
    AssetMalformed,
    AssetNotConsumable,
    AssetNotFound,
    ServiceMalformed,
    ServiceNotFound,
    ServiceTypeRefused,
)
from provider.errors.auth import (
    AuthError,
    ContractChecksBusy,
    NonceRefused,
    SignatureInvalid,
    TokenExpired,
    TokenNotAccepted,
    TokenRefused,
    TokenRevoked,
)
from provider.errors.base import ProviderError, named_network
from provider.errors.compute import (
    ComputeEndInvalid,
    ComputeError,
    ComputeRefused,
    EnvironmentsUnavailable,
    EnvironmentUnknown,
    JobIdMissing,
    NotAnAlgorithm,
    OperatorUnavailable,
)
from provider.errors.file import (
    DecrypterNotAuthorized,
    DecryptError,
    DocumentStateRefused,
    EncryptError,
    FileError,
    FileIndexOutOfRange,
    FileListTooLong,
    FileObjectInvalid,
    FilesUndecryptable,
    FileUnavailable,
    PreconditionRefused,
    SourceRefused,
    UserdataInvalid,
)
from provider.errors.link import LinkError, LinkExpired, LinkRevoked, LinkTooLong, LinkUnknown
from provider.errors.load import (
    BodiesFull,
    InspectionsBusy,
    LoadRefused,
    ServerBusy,
    ServerFull,
    TooManyRequests,
)
from provider.errors.order import (
    OrderDatatokenUnknown,
    OrderEnvironmentMismatch,
    OrderError,
    OrderExpired,
    OrderFeeExpired,
    OrderFeeMismatch,
    OrderFeeMissing,
    OrderNotConsumer,
    OrderNotFound,
    OrderTransactionFailed,
    OrderUnderpaid,
)
from provider.errors.outside import (
    AnswerTooLong,
    ChainError,
    ChainUnavailable,
    ContractCallFailed,
    GatewayUnset,
    LengthUnknown,
    MetadataStoreUnavailable,
    NameUnanswered,
    OriginsBusy,
    ServiceUnavailable,
    StoreError,
    UnsafeAddress,
    UpstreamBusy,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimedOut,
    UpstreamTooShort,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from provider.errors.request import (
    BodyNotObject,
    BodyTooComplex,
    BodyTooLarge,
    BodyTooSlow,
    MethodNotAllowed,
    NotHttp,
    RequestError,
    RouteNotFound,
    TooManyStreams,
    UnsupportedChain,
    ValidationFailed,
)

__all__ = [
    "AccessDenied",
    "AnswerTooLong",
    "AssetError",
    "AssetMalformed",
    "AssetNotConsumable",
    "AssetNotFound",
    "AuthError",
    "BodiesFull",
    "BodyNotObject",
    "BodyTooComplex",
    "BodyTooLarge",
    "BodyTooSlow",
    "ChainError",
    "ChainUnavailable",
    "ComputeEndInvalid",
    "ComputeError",
    "ComputeRefused",
    "ContainerInvalid",
    "ContractCallFailed",
    "ContractChecksBusy",
    "DecryptError",
    "DecrypterNotAuthorized",
    "DocumentStateRefused",
    "EncryptError",
    "EnvironmentUnknown",
    "EnvironmentsUnavailable",
    "FileError",
    "FileIndexOutOfRange",
    "FileListTooLong",
    "FileObjectInvalid",
    "FileUnavailable",
    "FilesUndecryptable",
    "GatewayUnset",
    "InspectionsBusy",
    "JobIdMissing",
    "LengthUnknown",
    "LinkError",
    "LinkExpired",
    "LinkRevoked",
    "LinkTooLong",
    "LinkUnknown",
    "LoadRefused",
    "MetadataStoreUnavailable",
    "MethodNotAllowed",
    "NameUnanswered",
    "NonceRefused",
    "NotAnAlgorithm",
    "NotHttp",
    "OperatorUnavailable",
    "OrderDatatokenUnknown",
    "OrderEnvironmentMismatch",
    "OrderError",
    "OrderExpired",
    "OrderFeeExpired",
    "OrderFeeMismatch",
    "OrderFeeMissing",
    "OrderNotConsumer",
    "OrderNotFound",
    "OrderTransactionFailed",
    "OrderUnderpaid",
    "OriginsBusy",
    "PolicyRefused",
    "PolicyServerUnavailable",
    "PreconditionRefused",
    "ProviderError",
    "RbacRefused",
    "RbacUnavailable",
    "RequestError",
    "RouteNotFound",
    "ServerBusy",
    "ServerFull",
    "ServiceMalformed",
    "ServiceNotFound",
    "ServiceTypeRefused",
    "ServiceUnavailable",
    "SignatureInvalid",
    "SourceRefused",
    "StoreError",
    "TokenExpired",
    "TokenNotAccepted",
    "TokenRefused",
    "TokenRevoked",
    "TooManyRequests",
    "TooManyStreams",
    "UnsafeAddress",
    "UnsupportedChain",
    "UpstreamBusy",
    "UpstreamError",
    "UpstreamRefused",
    "UpstreamTimedOut",
    "UpstreamTooShort",
    "UpstreamTruncated",
    "UpstreamUnreachable",
    "UserdataInvalid",
    "ValidationFailed",
    "named_network",
]
