"""A certificate authority for tests, its certificates, and the files for servers and clients."""

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from provider.crypto.certificate import TlsFiles

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def pem_of_key(key: Key, password: bytes | None = None) -> bytes:
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


@dataclass
class Authority:
    """Issues certificates into files of `folder`. Clients trust `ca_path`."""

    folder: Path

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # signs certificates, CRLs
        certificate = (
            self._builder(self._name, self._key, days=30)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
        )
        self.ca_path = self.folder / "ca.pem"
        signed = certificate.sign(self._key, hashes.SHA256())
        self.ca_path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: Key, *, days: float, since: float = 1.0) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=since))
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    def issue(self, stem: str, *names: str, days: float = 30.0, since: float = 1.0, key: Key | None = None) -> TlsFiles:
        """`<stem>.pem` and `<stem>.key` for DNS names or addresses; existing files are replaced as renewers do."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)])
        listed = names or ("127.0.0.1", "localhost")
        alternatives = [x509.IPAddress(ipaddress.ip_address(n)) if n[0].isdigit() else x509.DNSName(n) for n in listed]
        certificate = (
            self._builder(subject, key, days=days, since=since)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = TlsFiles(str(self.folder / f"{stem}.pem"), str(self.folder / f"{stem}.key"))
        replace(files.key, pem_of_key(key))
        replace(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        return files

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts only this authority."""
        return ssl.create_default_context(cafile=str(self.ca_path))


def replace(path: str, data: bytes) -> None:
    """Write a temporary file and rename it, so that nobody reads half a file."""
    fresh = Path(f"{path}.new")
    fresh.write_bytes(data)
    fresh.rename(path)
