"""Looks at the certificate that consumers will be shown. That it fits its key was tried with the settings."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from provider.commands.check.table import Finding, failed, passed, warned
from provider.crypto.certificate import TlsFiles

_WHAT = "certificate"
_DAY_SECONDS = 86_400
# Renewal services begin a month before the end: two weeks later something is wrong with them.
_FEW_DAYS = 14


def probe_certificate(files: TlsFiles | None, *, now: float) -> Finding:
    """For whom it is and until when. `now`: unix seconds."""
    if files is None:
        return passed(_WHAT, "none: consumers are served plain HTTP")
    try:
        certificate = x509.load_pem_x509_certificate(Path(files.certificate).read_bytes())
        names = _names(certificate)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not understood"
        return failed(_WHAT, f"{files.certificate}: {reason}", "PROVIDER_TLS_CERT_FILE: name a PEM certificate")
    end = certificate.not_valid_after_utc
    days = (end.timestamp() - now) / _DAY_SECONDS
    detail = f"for {names}, until {end:%Y-%m-%d}"
    if days < 0:
        return failed(_WHAT, f"{detail}: expired", "PROVIDER_TLS_CERT_FILE: renew the certificate")
    if certificate.not_valid_before_utc > datetime.fromtimestamp(now, UTC):
        return failed(_WHAT, f"{detail}, but not valid yet", "PROVIDER_TLS_CERT_FILE: check it and the local clock")
    if days < _FEW_DAYS:
        advice = "PROVIDER_TLS_CERT_FILE: renew the certificate; new files are taken without a restart"
        return warned(_WHAT, f"{detail}: {days:.0f} days left", advice)
    return passed(_WHAT, detail)


def _names(certificate: x509.Certificate) -> str:
    """What clients compare with the name they asked for (RFC 6125); the subject when there is nothing else."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return certificate.subject.rfc4514_string()
    return ", ".join(str(name.value) for name in alternatives) or certificate.subject.rfc4514_string()
