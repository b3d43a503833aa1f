"""How a shell starts this program, for commands that are printed to be copied."""

import shutil
import sys
from pathlib import Path


def program() -> list[str]:
    """`provider` if the search path leads to this installation, otherwise the path of its script or of its Python."""
    script = Path(sys.executable).with_name("provider")
    if not script.exists():
        return [sys.executable, "-m", "provider"]
    return ["provider"] if shutil.which("provider") == str(script) else [str(script)]
