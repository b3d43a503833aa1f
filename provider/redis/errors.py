"""Words for why Redis gives no answer, without anything of its URL."""

import os
import socket
import ssl


class NoRoute(Exception):
    """No server takes the question; the text says why and names no host."""


_CODES = {
    "WRONGPASS": "it refuses the user or the password",
    "NOAUTH": "it asks for a password",
    "NOPERM": "the user may not do this there (ACL)",
    "OOM": "its memory is full (OOM)",
    "MISCONF": "it cannot write to its disk and takes no writes (MISCONF)",
    "READONLY": "it is a replica (READONLY)",
    "LOADING": "it is still loading its data (LOADING)",
    "CLUSTERDOWN": "the cluster is down (CLUSTERDOWN)",
    "MASTERDOWN": "its master is down (MASTERDOWN)",
    "NOREPLICAS": "it has too few replicas to take writes (NOREPLICAS)",
    "WRONGTYPE": "one of our keys holds something else (WRONGTYPE): is the prefix shared with another program?",
    "TRYAGAIN": "the cluster moves the key at this moment (TRYAGAIN)",
}


def reason_of(error: BaseException, timeout_seconds: float) -> str:
    """One clause. Texts of libraries and servers name hosts and keys, so only their kind is told."""
    if isinstance(error, NoRoute):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_seconds:g} s"
    code = error_code(error)
    if code:
        return _CODES.get(code, f"it answers with an error ({code})")
    return _reason_of_transport(error)


def error_code(reply: object) -> str:
    """The first word of a server's error reply, empty for any other reply and for what no server said."""
    if type(reply).__name__ == "AuthenticationError":
        code = str(getattr(reply, "status_code", None))
        return code if code in _CODES else "WRONGPASS"
    known = getattr(reply, "status_code", None)
    if not isinstance(reply, Exception) or not (isinstance(known, str) or type(reply).__name__ == "ResponseError"):
        return ""
    text = str(reply)
    if "unauthenticated" in text:
        # Redis 6.2.7 and later refuse commands of more than ten parts as malformed before they look at the user.
        return "NOAUTH"
    # Before Redis 7 the error of a command within a script stands at the end: `ERR Error running script …: -OOM …`.
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
