"""Structured logs on standard error: JSON lines, or readable text on a terminal.

Records carry their facts in `extra={"facts": {...}}`. Callers log ids, sizes, codes and durations, never a secret.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping

import orjson

_ACCESS_LOGGER = "provider.access"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, then the facts."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, object] = {
            "time": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "facts", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """The same facts for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, with the traceback below where there is one."""
        facts = " ".join(f"{name}={value}" for name, value in getattr(record, "facts", {}).items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock} {record.levelname:<7} {record.getMessage()}  {facts}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def set_up_logging(level: str, style: str) -> None:
    """Send every record to standard error. `style` is `json`, `text`, or `auto`: text where that is a terminal."""
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # Tornado's own access line holds the query string, and with it signatures.
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL + 1)
    # Tornado logs request heads it cannot parse with their text.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def access_log(style: str) -> Callable[[Mapping[str, object]], None] | None:
    """Takes the facts of a request and writes one line, styled as by `set_up_logging`; None where the level has none.

    JSON lines go straight to standard error: what `logging` does for a record costs several times the line itself.
    """
    log = logging.getLogger(_ACCESS_LOGGER)
    if not log.isEnabledFor(logging.INFO):
        return None
    if style == "text" or (style == "auto" and sys.stderr.isatty()):
        return lambda facts: log.info("request", extra={"facts": facts})
    stream = sys.stderr.buffer

    def write(facts: Mapping[str, object]) -> None:
        line = {"time": _rfc3339(time.time()), "level": "info", "logger": _ACCESS_LOGGER, "message": "request", **facts}
        try:
            stream.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
            stream.flush()
        except (OSError, ValueError):
            # A log that cannot be written (full disk, closed pipe) must not fail requests.
            pass

    return write


class _Seconds:
    """The last second formatted: lines come many in one."""

    whole = -1
    text = ""


def _rfc3339(seconds: float) -> str:
    whole = int(seconds)
    if whole != _Seconds.whole:
        _Seconds.whole, _Seconds.text = whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{_Seconds.text}.{int((seconds - whole) * 1000):03d}Z"
