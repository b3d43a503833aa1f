"""Reasons why Redis does not answer, in words that reveal nothing of its URL."""

import os
import socket
import ssl


class NoRoute(Exception):
    """No server can take the question. The text says why and names no host."""


_CODES = {
    "WRONGPASS": "wrong user or password",
    "NOAUTH": "it requires a password",
    "NOPERM": "the user lacks the permission (ACL)",
    "OOM": "its memory is full (OOM)",
    "MISCONF": "it cannot write to its disk and rejects writes (MISCONF)",
    "READONLY": "it is a replica (READONLY)",
    "LOADING": "it is still loading its data (LOADING)",
    "CLUSTERDOWN": "the cluster is down (CLUSTERDOWN)",
    "MASTERDOWN": "its master is down (MASTERDOWN)",
    "NOREPLICAS": "it has too few replicas to accept writes (NOREPLICAS)",
    "WRONGTYPE": "one of our keys has another type (WRONGTYPE): does another program use the same prefix?",
    "TRYAGAIN": "the cluster is moving the key right now (TRYAGAIN)",
}


def reason_of(error: BaseException, timeout_seconds: float) -> str:
    """Describe an error in one clause. Texts of libraries and servers name hosts and keys, so only the kind is used."""
    if isinstance(error, NoRoute):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_seconds:g} s"
    code = error_code(error)
    if code:
        return _CODES.get(code, f"it replied with an error ({code})")
    return _reason_of_transport(error)


def error_code(reply: object) -> str:
    """Return the first word of a server's error reply; empty for other replies, and for errors that no server sent."""
    if type(reply).__name__ == "AuthenticationError":
        code = str(getattr(reply, "status_code", None))
        return code if code in _CODES else "WRONGPASS"
    known = getattr(reply, "status_code", None)
    if not isinstance(reply, Exception) or not (isinstance(known, str) or type(reply).__name__ == "ResponseError"):
        return ""
    text = str(reply)
    if "unauthenticated" in text:
        # Since 6.2.7, Redis refuses commands of more than ten parts as malformed before it checks the user.
        return "NOAUTH"
    # Before Redis 7, a script reports the error of its command at the end: `ERR Error running script …: -OOM …`.
    _, found, inner = text.rpartition(": -")
    code = inner.split(" ")[0] if found else known if isinstance(known, str) else text.split(" ", maxsplit=1)[0]
    return code if code.isalpha() and code.isupper() else "ERR"


def _reason_of_transport(error: BaseException) -> str:
    causes = (error, error.__cause__, error.__context__)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "its TLS certificate is not trusted"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "TLS failed"
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return "its name cannot be resolved"
        if isinstance(cause, OSError) and cause.errno:
            return f"no connection ({os.strerror(cause.errno)})"
    return "no connection"
