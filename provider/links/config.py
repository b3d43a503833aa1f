"""Settings of links."""

from dataclasses import dataclass
from typing import ClassVar

from provider.setting import integer, seconds

MAX_SECONDS = 30 * 86_400
"""No link lives longer. Revocations are kept as long."""


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """Lifetimes of links, in seconds."""

    SECTION: ClassVar = "links"

    max_seconds: int = integer(
        "PROVIDER_LINK_MAX_SECONDS",
        MAX_SECONDS,
        minimum=0,
        maximum=MAX_SECONDS,
        help="Longest life of a link, in seconds. 0 turns links off.",
    )
    default_seconds: int = integer(
        "PROVIDER_LINK_SECONDS",
        86_400,
        minimum=1,
        maximum=MAX_SECONDS,
        help="Life of a link whose request names none, in seconds.",
    )
    policy_seconds: float = seconds(
        "PROVIDER_LINK_POLICY_SECONDS",
        60,
        minimum=0,
        maximum=86_400,
        help="How long a decision of the RBAC server and of the policy server holds for the requests of a link, in "
        "seconds. 0 asks them at each request.",
    )
