"""Structured logs on standard error: JSON lines, or readable text on a terminal.

Records carry their fields in `extra={"fields": {...}}`. Callers log ids, sizes, codes and durations, never a secret.
"""

import logging
import mmap
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence

import orjson

from provider.observability.redaction import redact_foreign, redact_own

_ACCESS_LOGGER = "provider.access"
_plain = logging.Formatter()
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_log = logging.getLogger("provider.server")


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object on one line: time (RFC 3339, UTC), level, logger, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line: dict[str, object] = {
            "time": _rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_text:
            line["traceback"] = record.exc_text
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """The same fields for a person at a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, followed by the traceback if there is one."""
        fields = " ".join(f"{name}={value}" for name, value in getattr(record, "fields", {}).items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = _visible(f"{clock} {record.levelname:<7} {record.getMessage()}  {fields}").rstrip()
        if not record.exc_text:
            return line
        return "\n".join((line, *map(_visible, record.exc_text.split("\n"))))


def _visible(text: str) -> str:
    """Write control characters out: a node's words may be commands for a terminal, or look like another line."""
    return _CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Redaction(logging.Filter):
    """Removes everything that looks like a secret from each record.

    Messages of libraries and texts of exceptions may contain some.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place and let it pass. Its traceback becomes text here."""
        redact = redact_own if record.name.partition(".")[0] == "provider" else redact_foreign
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            # Arguments that do not fit their message must not make the caller fail.
            message = str(record.msg)
        record.msg, record.args = redact(message), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = _plain.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = redact_foreign(record.exc_text)
        fields = getattr(record, "fields", None)
        if fields:
            record.fields = _redacted_fields(fields)
        return True


def _redacted_fields(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: _redacted_field(value) for name, value in fields.items()}


def _redacted_field(value: object) -> object:
    if isinstance(value, str):
        return redact_own(value)
    if isinstance(value, Mapping):
        return {str(name): _redacted_field(held) for name, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted_field(held) for held in value]
    return value if value is None or isinstance(value, int | float) else redact_own(str(value))


class DebugSwitch:
    """Whether the workers of a server log at DEBUG: a byte in memory that its processes share."""

    def __init__(self) -> None:
        """Start with DEBUG off. Create it before the processes that share it are forked."""
        self._byte = mmap.mmap(-1, 1)

    @property
    def is_on(self) -> bool:
        """True if a process turned it on last."""
        return self._byte[0] == 1

    def turn(self) -> None:
        """Turn it on or off."""
        self._byte[0] = 1 - self._byte[0]


def set_up_logging(level: str, style: str, *, debug: bool = False) -> None:
    """Send every record from `level` on (with `debug`: every one) to standard error. May be called again.

    `style`: `json`, `text`, or `auto` (text on a terminal, else JSON).
    """
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    # The filter is on the handler: filters of loggers do not see the records of child loggers.
    handler.addFilter(Redaction())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel("DEBUG" if debug else level)
    # Tornado's own access line contains the query string, and with it signatures.
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL + 1)
    # Tornado logs malformed request heads in full.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def access_log(style: str) -> Callable[[Mapping[str, object]], None] | None:
    """Return a function that writes the fields of a request as one line, styled as by `set_up_logging`.

    Returns None if the level excludes the line. JSON lines go directly to standard error: `logging` costs several times
    as much as the line itself.
    """
    log = logging.getLogger(_ACCESS_LOGGER)
    if not log.isEnabledFor(logging.INFO):
        return None
    if style == "text" or (style == "auto" and sys.stderr.isatty()):
        return lambda fields: log.info("request", extra={"fields": fields})
    stream = sys.stderr.buffer

    def write(fields: Mapping[str, object]) -> None:
        detail = fields.get("detail")
        if isinstance(detail, str):
            fields = {**fields, "detail": redact_own(detail)}
        line = {
            "time": _rfc3339(time.time()),
            "level": "info",
            "logger": _ACCESS_LOGGER,
            "message": "request",
            **fields,
        }
        try:
            stream.write(orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE))
            stream.flush()
        except (OSError, ValueError):
            # A log that cannot be written (full disk, closed pipe) must not make requests fail.
            pass

    return write


class AccessLog:
    """The access log of a worker, whose level may change while it runs.

    `write` takes the fields of a request. It is None while no lines are wanted.
    """

    def __init__(self, level: str, style: str) -> None:
        self._level, self._style = level, style
        self.write = access_log(style)

    def toggle_debug(self) -> None:
        """Switch between DEBUG and the level of the settings."""
        self._change(self._level if logging.getLogger().level == logging.DEBUG else "DEBUG")

    def follow(self, debug: DebugSwitch) -> None:
        """Apply the switch: DEBUG, or the level of the settings. Does nothing if the level is already right."""
        level = "DEBUG" if debug.is_on else self._level
        if logging.getLogger().level != logging.getLevelName(level):
            self._change(level)

    def _change(self, level: str) -> None:
        logging.getLogger().setLevel(level)
        self.write = access_log(self._style)
        _log.warning("log level changed", extra={"fields": {"level": level}})


def durations(steps: Sequence[tuple[str, float]], ended_at: float) -> dict[str, float]:
    """Return the seconds of each step, from names and start times and the end of the last step.

    Repeated steps are added.
    """
    seconds: dict[str, float] = {}
    end_at = ended_at
    # Whole microseconds. `round` takes several times as long.
    for name, began_at in reversed(steps):
        seconds[name] = int((seconds.get(name, 0.0) + end_at - began_at) * 1e6 + 0.5) / 1e6
        end_at = began_at
    return dict(reversed(seconds.items()))


class _Seconds:
    """Formats times. It remembers the last second, because many lines fall into one second."""

    whole = -1
    text = ""


def _rfc3339(seconds: float) -> str:
    whole = int(seconds)
    if whole != _Seconds.whole:
        _Seconds.whole, _Seconds.text = whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{_Seconds.text}.{int((seconds - whole) * 1000):03d}Z"
