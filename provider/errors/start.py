"""The one exception for a start that fails."""


class StartError(Exception):
    """The server cannot start; the text tells the operator what to look at, by the name of its variable."""
