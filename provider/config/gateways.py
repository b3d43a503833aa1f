"""Gateways of content-addressed files: one URL, several in order of preference, or none."""

from provider.config.source import Source, url_problem

_OFF = "off"


def read_gateways(source: Source, variable: str, key: str, default: str) -> tuple[str, ...]:
    """URLs from one text (commas between several) or a list, JSON in the environment; `off` or an empty list: none."""
    value = source.json_or_text(variable, key)
    if value is None or value == "":
        return (default,)
    if isinstance(value, str):
        value = [] if value.strip().lower() == _OFF else [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        source.fault(variable, key, "must be a URL, a list of URLs, or off")
        return (default,)
    problem = next((found for item in value if (found := url_problem(item))), None)
    if problem is not None:
        source.fault(variable, key, problem)
        return (default,)
    return tuple(dict.fromkeys(value))
