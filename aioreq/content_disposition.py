"""What to call a file that a server sends: Content-Disposition (RFC 6266, RFC 8187), else the URL; made safe for any disk.

Strings in, a bare name out. Knows no disk: whether there is such a file already is somebody else's question.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_to_bytes

__all__ = ["file_name", "safe_name", "suggested_name"]

LONGEST = 200  # bytes of a name: disks take 255, and a part file's name is longer
LONGEST_SUFFIX = 20  # bytes of an extension that a cut name keeps

_PARAMETER = re.compile(
    r""";[ \t]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*
    (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^\s;"]*))[ \t]*(?=;|$)""",
    re.VERBOSE | re.DOTALL,
)
_EXTENDED = re.compile(
    r"(?P<charset>utf-8|iso-8859-1)'[A-Za-z0-9-]*'(?P<value>(?:%[0-9A-Fa-f]{2}|[!#$&+.^_`|~0-9A-Za-z-])*)", re.IGNORECASE
)
_SPECIAL = re.compile(r'[<>:"|?*]')  # what Windows forbids; a colon there opens another stream of the file
# Windows' devices, whatever extension follows: the superscripts count as digits.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)
_JOINERS = "\u200c\u200d"  # format characters that words and emoji are spelled with; the others only deceive the reader
# What no name begins or ends with, in any order (behind `. .` comes no dot either): leading dots hide a file, Windows drops trailing dots
# and spaces, joiners join nothing there. The spaces are all that Unicode has.
_EDGES = ". \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000" + _JOINERS


def file_name(disposition: bytes | None, raw_path: str) -> str:
    """A name for what came with this Content-Disposition, or none, from a URL with this (percent-encoded) path; "download" at worst.

    >>> file_name(b'attachment; filename="../../etc/passwd"', "/report")
    'passwd'
    >>> file_name(None, "/files/r%C3%A9sum%C3%A9.pdf")
    'résumé.pdf'
    """
    suggested = None if disposition is None else suggested_name(disposition)
    last = unquote_to_bytes(raw_path.rstrip("/").rpartition("/")[2]).decode("utf-8", "replace")
    return safe_name(suggested or "") or safe_name(last) or "download"


def suggested_name(disposition: bytes) -> str | None:
    """The name that the field suggests, not safe yet: `filename*` before `filename`, the first of each; None where there is none.

    >>> suggested_name(b"attachment; filename=euro.txt; filename*=UTF-8''%e2%82%ac.txt")
    '€.txt'
    """
    try:
        field = disposition.decode("utf-8")
    except UnicodeDecodeError:
        field = disposition.decode("latin-1")
    kind, semicolon, _ = field.partition(";")
    found: dict[str, str] = {}
    at = len(kind)
    while semicolon and (parameter := _PARAMETER.match(field, at)):
        at = parameter.end()
        quoted = parameter["quoted"]
        value = parameter["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        found.setdefault(parameter["name"].lower(), value)
    if (extended := _EXTENDED.fullmatch(found.get("filename*", ""))) is not None:
        try:
            return unquote_to_bytes(extended["value"]).decode(extended["charset"])
        except UnicodeDecodeError:
            pass
    return found.get("filename")


def safe_name(name: str) -> str | None:
    """A bare, visible file name for Linux, macOS and Windows; None where nothing is left of it.

    >>> [safe_name(name) for name in ("C:\\\\dir\\\\a?.txt", "..", ".bashrc", "con.txt", "a\\r\\nb")]
    ['a_.txt', None, 'bashrc', '_con.txt', 'ab']
    """
    name = unicodedata.normalize("NFC", re.split(r"[/\\]", name)[-1])
    name = "".join(c for c in name if c in _JOINERS or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    name = _trimmed(_SPECIAL.sub("_", name))
    if name.startswith("-"):  # no option of a command that is given `*`
        name = "_" + name[1:]
    if _DEVICE.fullmatch(name.partition(".")[0].rstrip()):
        name = "_" + name
    return _trimmed(_cut(name)) or None


def _trimmed(name: str) -> str:
    return name.strip(_EDGES)


def _cut(name: str) -> str:
    if len(name.encode()) <= LONGEST:
        return name
    stem, dot, suffix = name.rpartition(".")
    end = (dot + suffix).encode()
    if not dot or len(end) > LONGEST_SUFFIX:
        stem, end = name, b""
    return (stem.encode()[: LONGEST - len(end)] + end).decode("utf-8", "ignore")
