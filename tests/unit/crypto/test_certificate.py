"""The listener's TLS side, hands shaken in memory."""

import os
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from provider.crypto.certificate import ServerTls, TlsFault, TlsFiles, server_context
from tests.support.certificates import Authority, pem_of_key, replace


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def shake(
    server: ssl.SSLContext,
    client: ssl.SSLContext,
    name: str | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> ssl.SSLObject:
    """The client's end of a finished handshake, session tickets received."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    asking = client.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    for side in (asking, serving, asking, serving):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    serving.write(b"x")
    assert asking.read(1) == b"x"
    return asking


def common_name(end: ssl.SSLObject) -> str:
    shown = end.getpeercert()
    assert shown
    return dict(pair[0] for pair in shown["subject"])["commonName"]


@pytest.mark.parametrize(
    ("version", "cipher"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_tls_1_2_and_1_3_speak_http_1_1(authority: Authority, version: ssl.TLSVersion, cipher: str) -> None:
    client = authority.client_context()
    client.maximum_version = version
    client.set_alpn_protocols(["h2", "http/1.1"])
    end = shake(ServerTls(authority.issue("a")).context, client)
    assert (end.version(), end.selected_alpn_protocol()) == (cipher, "http/1.1")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_older_tls_is_refused(authority: Authority) -> None:
    client = authority.client_context()
    client.minimum_version = ssl.TLSVersion.TLSv1_1
    client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake(ServerTls(authority.issue("a")).context, client)


def test_unchanged_files_are_not_loaded_again(authority: Authority) -> None:
    tls = ServerTls(authority.issue("a"))
    assert not tls.renew()
    assert tls.renew(force=True)


def test_the_end_of_the_certificate_in_use_is_known(authority: Authority) -> None:
    """Of the server's own, not of those that follow it, and of no file that was not taken."""

    def shown() -> int:
        told = shake(tls.context, authority.client_context()).getpeercert()
        assert told
        return ssl.cert_time_to_seconds(str(told["notAfter"]))

    files = authority.issue("a", days=9)
    Path(files.certificate).write_bytes(Path(files.certificate).read_bytes() + authority.ca_path.read_bytes())
    tls = ServerTls(files)
    first = shown()
    assert tls.expires_at == first
    authority.issue("a", days=90)
    Path(files.key).write_text("no key")
    with pytest.raises(TlsFault):
        tls.renew()
    assert tls.expires_at == shown() == first
    authority.issue("a", days=91)
    assert tls.renew()
    assert tls.expires_at == shown() == pytest.approx(first + 82 * 86_400, abs=120)


@pytest.mark.parametrize("name", ["localhost", None], ids=["with a server name", "without"])
def test_renewed_certificate_is_shown_in_new_handshakes(authority: Authority, name: str | None) -> None:
    first, second = authority.issue("first"), authority.issue("second")
    client = authority.client_context()
    client.check_hostname = name is not None
    tls = ServerTls(first)
    assert common_name(shake(tls.context, client, name)) == "first"
    for old, new in ((first.key, second.key), (first.certificate, second.certificate)):
        os.replace(new, old)
    assert common_name(shake(tls.context, client, name)) == "first"
    assert tls.renew()
    assert common_name(shake(tls.context, client, name)) == "second"


def test_certificate_with_another_kind_of_key_takes_the_place_of_the_old(authority: Authority) -> None:
    files = authority.issue("same", key=rsa.generate_private_key(65537, 2048))
    client = authority.client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = ServerTls(files)
    assert "RSA" in shake(tls.context, client).cipher()[0]  # type: ignore[index]
    authority.issue("same")
    tls.renew()
    assert "ECDSA" in shake(tls.context, client).cipher()[0]  # type: ignore[index]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_also_after_a_renewal(authority: Authority, version: ssl.TLSVersion) -> None:
    client = authority.client_context()
    client.maximum_version = version
    tls = ServerTls(authority.issue("a"))
    first = shake(tls.context, client)
    assert not first.session_reused
    assert shake(tls.context, client, session=first.session).session_reused
    authority.issue("a")
    assert tls.renew()
    assert shake(tls.context, client, session=first.session).session_reused


def test_half_a_renewal_keeps_the_old_pair_and_is_told_once(authority: Authority) -> None:
    files = authority.issue("a")
    tls, client = ServerTls(files), authority.client_context()
    key = Path(files.key).read_bytes()
    replace(files.key, pem_of_key(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(TlsFault, match="is not the key of"):
        tls.renew()
    assert not tls.renew()
    assert common_name(shake(tls.context, client)) == "a"
    Path(files.key).unlink()
    with pytest.raises(TlsFault, match="cannot read"):
        tls.renew()
    replace(files.key, key)
    assert tls.renew()
    assert common_name(shake(tls.context, client)) == "a"


FAULTS = {
    "no certificate file": ("certificate", None, "good", "cannot read"),
    "no key file": ("key", "good", None, "cannot read"),
    "no certificate in it": ("certificate", b"hello", "good", "holds no PEM certificate"),
    "key instead of certificate": ("certificate", "key", "good", "holds no PEM certificate"),
    "no key in it": ("key", "good", b"hello", "holds no PEM private key"),
    "key of another certificate": ("key", "good", "other", "is not the key of"),
    "encrypted key": ("key", "good", "encrypted", "is encrypted"),
    "key too short": ("certificate", "weak", "weak", "too weak"),
}


@pytest.mark.parametrize(("part", "certificate", "key", "text"), FAULTS.values(), ids=FAULTS)
def test_unusable_files_are_named(
    authority: Authority, tmp_path: Path, part: str, certificate: str | bytes | None, key: str | bytes | None, text: str
) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    good = authority.issue("good", key=private)
    weak = authority.issue("weak", key=rsa.generate_private_key(65537, 1024))
    contents = {
        ("certificate", "good"): good.certificate,
        ("certificate", "key"): good.key,
        ("certificate", "weak"): weak.certificate,
        ("key", "good"): good.key,
        ("key", "weak"): weak.key,
    }
    made = {"other": pem_of_key(ec.generate_private_key(ec.SECP256R1())), "encrypted": pem_of_key(private, b"secret")}
    files = TlsFiles(str(tmp_path / "certificate"), str(tmp_path / "key"))
    for kind, path, what in (("certificate", files.certificate, certificate), ("key", files.key, key)):
        if isinstance(what, str):
            Path(path).write_bytes(made[what] if what in made else Path(contents[kind, what]).read_bytes())
        elif what is not None:
            Path(path).write_bytes(what)
    with pytest.raises(TlsFault, match=text) as caught:
        server_context(files)
    assert caught.value.part == part
    assert "PRIVATE KEY" not in str(caught.value)
