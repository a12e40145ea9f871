"""What a server offers in its certificate: pins, and what goes wrong in a handshake, in words. Knows no connection and no trust store."""

from __future__ import annotations

import re
import ssl
from typing import Any, TypeAlias

from .config import TLS
from .dialer import reason
from .errors import CertificateError, TLSError

__all__ = ["TellingObject", "check_pins", "handshake_error", "late_refusal"]

_Fields: TypeAlias = dict[str, Any]  # as ssl.SSLSocket.getpeercert() gives them

_SHOWN_NAMES = 8
_SHOWN = 100  # characters of each text that the server wrote

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_BY_DATE = (9, 10)
_BY_NAME = (62, 63, 64)
_BY_ISSUER = (2, 18, 19, 20, 21)

_NO_TLS = "does it speak TLS on this port?"
_VERSIONS = "the two sides have no TLS version in common; this one takes 1.2 and newer, unless TLS(context=...) says otherwise"
_WANTS = "it wants a client certificate: give TLS(cert=...)"
_REFUSES = "it doesn't accept the client certificate of TLS(cert=...), or wants one"
# What the server says of the client's certificate. In TLS 1.3 it says so when the client's side of the handshake is over already.
_VERDICTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _WANTS,
    "SSLV3_ALERT_BAD_CERTIFICATE": _REFUSES,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _REFUSES,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _REFUSES,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _REFUSES,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _REFUSES,
    "TLSV1_ALERT_UNKNOWN_CA": _REFUSES,
    "TLSV1_ALERT_DECRYPT_ERROR": _REFUSES,
    "TLSV1_ALERT_ACCESS_DENIED": _REFUSES,
}
# By OpenSSL's names of the reasons.
_HINTS = _VERDICTS | {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,  # the same, from OpenSSL 3.2 on
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _VERSIONS,
    "TLSV1_ALERT_PROTOCOL_VERSION": _VERSIONS,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": f"the two sides have no cipher or key exchange in common, or {_WANTS}",
    "TLSV1_UNRECOGNIZED_NAME": "it doesn't know that name; TLS(server_hostname=...) asks for another",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "it doesn't offer HTTP/1.1 here",
}


class TellingObject(ssl.SSLObject):
    """An SSL object whose certificate errors tell, in `offered`, what the certificate says that was refused."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except ssl.SSLCertVerificationError as error:
            error.offered = _leaf(self)  # type: ignore[attr-defined]
            raise


def check_pins(tls: TLS, connected: ssl.SSLObject, peer: str) -> None:
    """Raise CertificateError unless the certificate has one of the wanted fingerprints, where any are wanted."""
    if tls.fingerprint is None:
        return
    import hashlib

    offered = hashlib.sha256(connected.getpeercert(binary_form=True) or b"").hexdigest()
    if offered not in tls.fingerprint:
        wanted = " or ".join(map(str, tls.fingerprint))
        says = _described(_leaf(connected) or {})
        raise CertificateError(
            f"the certificate of {peer} has the SHA-256 fingerprint {offered}, not {wanted}" + (says and f"; {says}"), fingerprint=offered
        )


def handshake_error(error: Exception, tls: TLS, peer: str, host: str) -> TLSError:
    """Why the handshake with `peer` failed, and what may help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        # Only OpenSSL's own errors have all of this; the system's verdict comes by truststore.
        why = str(getattr(error, "verify_message", None) or error).rstrip(".")
        says = _described(getattr(error, "offered", None) or {})
        hint = _certificate_hint(getattr(error, "verify_code", 0), tls)
        return CertificateError(f"the certificate of {peer} is not valid for {host!r}: {why}" + (says and f"; {says}") + hint)
    return TLSError(f"the TLS handshake with {peer} failed: {_words(error)}{_hint(error)}")


def late_refusal(error: Exception | None, peer: str) -> TLSError | None:
    """The error of a first exchange that `error` ended, if it is the server's verdict on the client's certificate."""
    if error is None or _name(error) not in _VERDICTS:
        return None
    return TLSError(f"the TLS handshake with {peer} failed when it saw this side's end of it: {_words(error)}{_hint(error)}")


def _name(error: Exception) -> str:
    """OpenSSL's name of the reason; "" for what isn't OpenSSL's."""
    if not isinstance(error, ssl.SSLError):
        return ""
    # Python doesn't know all of the names: then it has the words in a message of its own, "[SSL] tlsv1 alert ... (_ssl.c:1000)".
    name: str = error.reason or re.sub(r"^\[.*?\] | \(_ssl\.c:\d+\)$", "", str(error)).replace(" ", "_").upper()
    return name


def _words(error: Exception) -> str:
    # The version in front of an alert is that of OpenSSL's table, not the connection's.
    words = re.sub(r"^(SSL|TLS)V\d+_(?=ALERT|UNREC)", "", _name(error)).replace("_", " ").lower()
    return words or reason(error)


def _hint(error: Exception) -> str:
    hint = _HINTS.get(_name(error))
    return "" if hint is None else f" ({hint})"


def _certificate_hint(code: int, tls: TLS) -> str:
    if code in _BY_DATE:
        from datetime import UTC, datetime

        return f" (this machine's clock says {datetime.now(UTC):%Y-%m-%d %H:%M} UTC)"
    if code in _BY_NAME:
        return " (if the server goes by another name, give TLS(server_hostname=...))"
    if code in _BY_ISSUER and tls.context is None:
        return " (nobody who is trusted has signed it; TLS(ca=...) trusts an authority of your own)"
    return ""


def _leaf(connected: ssl.SSLObject) -> _Fields | None:
    """What the server's certificate says, verified or not; None where Python doesn't show it."""
    try:
        # ssl itself shows a refused certificate as bytes alone, from Python 3.13 on; the object below it as fields, from OpenSSL 3.0 on.
        chain = connected._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
        fields: _Fields | None = chain[0].get_info() if chain else None
    except (AttributeError, ValueError, ssl.SSLError):
        return None
    return fields


def _described(fields: _Fields) -> str:
    """The names, issuer and validity of a certificate, as a clause."""
    parts = []
    names = [value for _, value in fields.get("subjectAltName", ())] or _named(fields.get("subject", ()), "commonName")
    if names:
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        parts.append(f"it is for {', '.join(map(_shown, names[:_SHOWN_NAMES]))}{more}")
    elif fields:
        parts.append("it names no host")
    issuer = fields.get("issuer", ())
    issuers = _named(issuer, "commonName") or _named(issuer, "organizationName")
    if issuers:
        parts.append(f"issued by {_shown(issuers[0])}")
    if "notBefore" in fields and "notAfter" in fields:
        parts.append(f"valid from {_date(fields['notBefore'])} to {_date(fields['notAfter'])}")
    return ", ".join(parts)


def _named(name: Any, kind: str) -> list[str]:
    return [value for part in name for key, value in part if key == kind]


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else name[:_SHOWN] + "...")  # escaped: a stranger wrote it


def _date(text: str) -> str:
    from datetime import UTC, datetime

    try:
        seconds = ssl.cert_time_to_seconds(text)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return _shown(text)
