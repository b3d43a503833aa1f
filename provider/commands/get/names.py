"""Turns file names that a server chose into names on this machine (pure).

A server's name must not lead out of the folder, hide the file, name a device of Windows, or be the name of an
unfinished file.
"""

from collections.abc import Sequence

from provider.upstream.file_names import MAX_NAME_BYTES, safe_name

PART_SUFFIX = ".part"
NOTE_SUFFIX = ".part.json"
NEW_NOTE_SUFFIX = ".part.json.new"

# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_DEVICES = frozenset(("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789¹²³")))


def local_names(names: Sequence[str], indexes: Sequence[int]) -> list[str]:
    """Return a distinct name for each file, also on file systems that ignore case.

    `indexes`: numbers for files that need one.
    """
    taken: set[str] = set()
    found = []
    for name, index in zip(names, indexes, strict=True):
        chosen = local_name(name) or f"file-{index}"
        if chosen.casefold() in taken:
            stem, dot, extension = chosen.rpartition(".")
            chosen = f"{stem}-{index}{dot}{extension}" if stem else f"{chosen}-{index}"
        while chosen.casefold() in taken:
            chosen = f"_{chosen}"
        taken.add(chosen.casefold())
        found.append(chosen)
    return found


def local_name(name: str) -> str:
    """Make a server's name safe; empty if no character of it can be used."""
    # Leaves room for the suffix of an unfinished file, for a number, and for the underscore of a device name.
    room = MAX_NAME_BYTES - len(NEW_NOTE_SUFFIX) - 16
    # Windows drops dots and spaces at the end; dots at the beginning hide a file.
    safe = safe_name(name).strip(". ")
    stem, dot, extension = safe.rpartition(".")
    if len(safe.encode()) > room and stem:
        stem = stem.encode()[: room - len((dot + extension).encode())].decode("utf-8", "ignore")
        safe = stem + dot + extension
    safe = safe.encode()[:room].decode("utf-8", "ignore").rstrip(". ")
    if safe.casefold().endswith((PART_SUFFIX, NOTE_SUFFIX, NEW_NOTE_SUFFIX)):
        safe += "_"
    return f"_{safe}" if safe.partition(".")[0].rstrip().casefold() in _DEVICES else safe
