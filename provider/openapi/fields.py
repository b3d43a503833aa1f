"""The request fields of the API: each one once, with its meaning, JSON Schema and an example."""

from collections.abc import Mapping

from provider.openapi.model import Schema, Word

# Every number may be a JSON number or text (`provider-api.md` section 1).
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": ["string", "number"]}
INTEGER: Schema = {"type": ["string", "integer"]}
ADDRESS: Schema = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}
ANYTHING: Schema = {}

CONSUMER = "0xA78deb2Fa79463945C247991075E2a0e98Ba7A09"
DID = "did:op:7f3a1e0c5d1b4a2f9e8d7c6b5a4938271605f4e3d2c1b0a99887766554433221"
TX = "0x5c504ed432cb51138bcf09aa5e8a410dd4a1e204ef84bfed1be16dfba1b22060"
SIGNATURE = f"0x{'1f' * 64}1b"


WORDS: Mapping[str, Word] = {
    "abi": Word("The view function to call, as in the contract's ABI.", ANYTHING, {"type": "function", "inputs": []}),
    "additionalDatasets": Word("More datasets for the job, each like `dataset`.", ANYTHING, []),
    "address": Word("The address that the token is for; it must sign.", ADDRESS, CONSUMER),
    "chainId": Word("Chain id, one of those that `GET /` lists.", INTEGER, "1"),
    "checksum": Word(
        "Compute the SHA-256 of each file. Any value but false, 0, null or an empty one counts as true.", ANYTHING, True
    ),
    "command": Word("The command.", ANYTHING, "status"),
    "consumerAddress": Word("Address of the consumer. It must sign signed requests.", ADDRESS, CONSUMER),
    "dataNftAddress": Word("The data NFT that the document belongs to.", ADDRESS, f"0x{'3d' * 20}"),
    "ddo": Word("A DDO.", {"type": "object"}, {"id": DID, "version": "4.7.0"}),
    "decrypterAddress": Word("Address that wants to read the document; it must sign.", ADDRESS, CONSUMER),
    "datasets": Word(
        "Up to 50 datasets, the first with a compute service.",
        {"type": "array"},
        [{"documentId": DID, "serviceId": "1"}],
    ),
    "did": Word("DID of an asset.", TEXT, DID),
    "documentHash": Word("SHA-256 of the document, hex.", TEXT, f"0x{'5e' * 32}"),
    "documentId": Word("DID of the asset.", NUMBER, DID),
    "encryptedDocument": Word("The document as published on chain, hex.", NUMBER, "0x04a1b2"),
    "entrypoint": Word("Command that starts the algorithm.", ANYTHING, "node $ALGO"),
    "env": Word("Id of a compute environment.", NUMBER, "ocean-compute"),
    "environment": Word("Id of a compute environment.", ANYTHING, "ocean-compute"),
    "expiration": Word("When the token expires, in unix seconds.", INTEGER, "1924992000"),
    "fileIndex": Word("Which file of the service, from 0.", INTEGER, "0"),
    "flags": Word("First byte of the document's flags: 1 compressed, 2 encrypted.", INTEGER, 2),
    "hash": Word("CID of a file on IPFS.", ANYTHING, "QmSk4KVDFYwtWkEFUZaqtFMnPTBfsNTnmqwm8bgGUEVLPj"),
    "headers": Word("Header fields to send to the file's host.", ANYTHING, {"X-Key": "value"}),
    "image": Word("Name of the container's image.", ANYTHING, "node"),
    "index": Word("Which result of the job, from 0.", NUMBER, "0"),
    "jobId": Word("Id of a job.", NUMBER, "0x7d6c"),
    "meta": Word("A raw algorithm: its metadata.", ANYTHING, {"rawcode": "print(1)"}),
    "maxJobDuration": Word("Seconds from now on that the job may take.", {"type": "integer"}, 600),
    "method": Word("HTTP method for the file's host: GET (default) or POST.", ANYTHING, "GET"),
    "nonce": Word(
        "Must be greater than every nonce this address has used here. Up to 100 digits; unix milliseconds will do.",
        NUMBER,
        "1767225600000",
    ),
    "output": Word("Where to put results, in the operator service's format.", ANYTHING, {}),
    "policyServer": Word("What the policy server needs, passed on as it is.", ANYTHING, {"sessionId": ""}),
    "publisherAddress": Word("Address of the publisher; it must sign.", ADDRESS, CONSUMER),
    "query": Word("A GraphQL query.", ANYTHING, "{ indexingStatuses { subgraph } }"),
    "s3Access": Word(
        "Location of an S3 object, and the keys to read it.",
        ANYTHING,
        {"endpoint": "https://s3.example", "bucket": "data", "objectKey": "data.csv"},
    ),
    "seconds": Word("How long the links shall live, in seconds.", INTEGER, 86400),
    "serviceId": Word("`id` of a service in the DDO.", NUMBER, "1"),
    "signature": Word("EIP-191 signature of the message named above, hex.", TEXT, SIGNATURE),
    "token": Word("An auth token.", TEXT, "eyJhbGciOiJIUzI1NiJ9.eyJhZGRyZXNzIjoiMHgifQ.c2ln"),
    "transactionId": Word("Transaction in which the document was published.", NUMBER, TX),
    "transferTxId": Word("Transaction in which the service was ordered.", NUMBER, TX),
    "type": Word("Type of a file object.", ANYTHING, "url"),
    "url": Word("Location of a file of type `url`.", ANYTHING, "https://files.example/data.csv"),
    "userAddress": Word("Address whose nonce to return.", ADDRESS, CONSUMER),
    "validUntil": Word("When the job or token ends, in unix seconds.", INTEGER, 1924992000),
    "userdata": Word("Consumer parameters: a JSON object; in a query, its text.", ANYTHING, '{"city":"Oslo"}'),
}
