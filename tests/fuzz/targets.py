"""All targets by name. A parser of wire text that is new gets one here, and a folder of kept inputs beside it."""

from collections.abc import Mapping

from tests.fuzz.chain_replies import CHAIN
from tests.fuzz.documents import DOCUMENTS
from tests.fuzz.identity import IDENTITY
from tests.fuzz.model import Target
from tests.fuzz.stores import STORES
from tests.fuzz.wire import WIRE

TARGETS: Mapping[str, Target] = {target.name: target for target in (*WIRE, *DOCUMENTS, *IDENTITY, *CHAIN, *STORES)}
