"""`provider check`: tries everything that the settings name, and prints what works and what does not."""

import asyncio
from collections.abc import Awaitable

from provider import USER_AGENT
from provider.commands.check.chain_probes import probe_chains
from provider.commands.check.host_probes import probe_listeners, probe_stores
from provider.commands.check.service_probes import probe_services
from provider.commands.check.source_probes import probe_sources
from provider.commands.check.table import Finding, Form, failed, passed, show, warned
from provider.config import Settings
from provider.crypto.accounts import Account
from provider.outgoing.sessions import Outgoing

__all__ = ["check"]

# A chain is asked four times in a row at most, each within the RPC timeout; nothing takes longer than this.
LONGEST_SECONDS = 60.0


def check(settings: Settings, form: Form = "table") -> int:
    """Run all probes at once and print what they found. Returns 1 if something required does not work, otherwise 0."""
    return show(asyncio.run(_run_probes(settings)), form=form)


async def _run_probes(settings: Settings) -> list[Finding]:
    """Return the findings in a fixed order. A part that does not work is a finding, never an exception."""
    findings = [warned("settings", warning.what, warning.remedy) for warning in settings.warnings]
    universal = Account.from_hex(settings.security.universal_key).address
    findings.append(passed("universal key", f"its address is {universal}"))
    async with Outgoing(settings.proxies).session(headers={"User-Agent": USER_AGENT}) as session:
        groups = [
            *probe_chains(settings, session),
            *probe_services(settings, session),
            ("sources", probe_sources(settings)),
            ("stores", probe_stores(settings)),
            ("listeners", probe_listeners(settings)),
        ]
        for found in await asyncio.gather(*(_in_time(what, group) for what, group in groups)):
            findings += found
    return findings


async def _in_time(what: str, group: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            return await group
    except TimeoutError:
        return [failed(what, f"no answer within {LONGEST_SECONDS:g} s", "try again, or check that part itself")]
