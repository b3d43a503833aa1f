"""Words for what Redis and the way to it say, in which nothing of theirs is repeated."""

import socket
import ssl

import pytest
from redis.exceptions import AuthenticationError, NoScriptError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from provider.redis.errors import NoRoute, error_code, reason_of


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"OK", ""),
        (None, ""),
        (3, ""),
        (ValueError("planted"), ""),
        (RedisConnectionError("planted"), ""),
        (ResponseError("WRONGTYPE planted"), "WRONGTYPE"),
        (ResponseError("planted"), "ERR"),
        (ReadOnlyError("planted", status_code="READONLY"), "READONLY"),
        (NoScriptError("planted", status_code="NOSCRIPT"), "NOSCRIPT"),
        (ResponseError("Error running script (call to f_1): @user_script:3: -OOM planted", status_code="ERR"), "OOM"),
        (AuthenticationError("planted", status_code="NOAUTH"), "NOAUTH"),
        (AuthenticationError("planted", status_code="WRONGPASS"), "WRONGPASS"),
        (AuthenticationError("planted"), "WRONGPASS"),
    ],
)
def test_first_word_of_an_error_reply_is_its_code(reply: object, code: str) -> None:
    assert error_code(reply) == code


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError("planted"), "no answer within 2 s"),
        (NoRoute("nobody knows"), "nobody knows"),
        (ResponseError("OOM planted"), "memory is full"),
        (ResponseError("NEWS planted"), "replied with an error (NEWS)"),
        (ConnectionRefusedError(111, "planted"), "Connection refused"),
        (caused(RedisConnectionError("planted"), ConnectionResetError(104, "planted")), "Connection reset"),
        (caused(RedisConnectionError("planted"), socket.gaierror(-2, "planted")), "name cannot be resolved"),
        (caused(RedisConnectionError("planted"), ssl.SSLCertVerificationError("planted")), "not trusted"),
        (caused(RedisConnectionError("planted"), ssl.SSLError("planted")), "TLS failed"),
        (RedisConnectionError("planted"), "no connection"),
    ],
)
def test_reasons_hold_nothing_of_hosts_and_keys(error: Exception, words: str) -> None:
    assert words in reason_of(error, 2.0)
    assert "planted" not in reason_of(error, 2.0)
