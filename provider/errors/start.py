"""The exception for a start that fails."""


class StartError(Exception):
    """The server cannot start; the text tells the operator which variable to check."""
