"""`@override` on Python 3.11 too, where `typing` lacks it. Type checkers and ruff know it as the standard one."""

from typing import TYPE_CHECKING

__all__ = ["override"]

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method, /):
        """Mark a method that replaces one of a base class, and inherits its docstring."""
        return method
