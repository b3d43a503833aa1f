"""The lines of a plain HTTP/1.1 head (pure)."""

# Deleting these takes a tenth of the time of searching for others.
PLAIN_BYTES = bytes(range(0x20, 0x7F)) + b"\r\n"
MAX_KEPT_CHARS = 64
"""Do not remember longer names: hostile ones could take megabytes."""


def plain_lines(data: bytes | bytearray) -> list[str] | None:
    """Start line and field lines of a whole head in printable ASCII with CRLF line ends; None for any other head."""
    if data.translate(None, PLAIN_BYTES):
        return None
    text = data.decode("ascii")
    lines = text.split("\r\n")
    ends = len(lines) - 1
    if ends < 2 or text.count("\r") != ends or text.count("\n") != ends or lines[-1] or lines[-2]:
        return None
    del lines[-2:]
    return lines
