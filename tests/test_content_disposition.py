"""Content-Disposition as RFC 6266 and RFC 8187 write it, and names that somebody hostile may suggest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aioreq.content_disposition import LONGEST, file_name, safe_name, suggested_name

pytestmark = pytest.mark.no_loop


@pytest.mark.parametrize(
    ("field", "name"),
    [
        # RFC 6266 section 5.
        (b"Attachment; filename=example.html", "example.html"),
        (b'INLINE; FILENAME= "an example.html"', "an example.html"),
        (b"attachment; filename*= UTF-8''%e2%82%ac%20rates", "\u20ac rates"),
        (b"attachment; filename=\"EURO rates\"; filename*=utf-8''%e2%82%ac%20rates", "\u20ac rates"),
        (b"attachment; filename*=utf-8''%e2%82%ac; filename=euro", "\u20ac"),
        # RFC 8187 section 3.2.3, and ISO-8859-1 of its predecessor.
        (b"attachment; filename*=UTF-8'en'%c2%a3%20and%20%e2%82%ac", "\u00a3 and \u20ac"),
        (b"attachment; filename*=iso-8859-1'en'%A3%20rates", "\u00a3 rates"),
        (b'attachment; filename="a \\"quoted\\" b.txt"', 'a "quoted" b.txt'),
        (b'attachment; filename="a;b=c.txt"', "a;b=c.txt"),
        (b'attachment;filename="a.txt";size=3', "a.txt"),
        (b"attachment; size=3; filename=a.txt", "a.txt"),
        (b"attachment ; filename = a.txt ", "a.txt"),
        ("attachment; filename=\u00e4.txt".encode(), "\u00e4.txt"),
        (b'attachment; filename="\xe4.txt"', "\u00e4.txt"),
        (b"attachment; filename=a%20b.txt", "a%20b.txt"),
        # What can't be read falls back to what can.
        (b"attachment; filename*=UTF-8''%e2%82; filename=euro.txt", "euro.txt"),
        (b"attachment; filename*=koi8-r''%c1; filename=a.txt", "a.txt"),
        (b"attachment; filename*=UTF-8'%c3%a4; filename=a.txt", "a.txt"),
        (b"attachment; filename*=UTF-8''%zz; filename=a.txt", "a.txt"),
        (b"attachment; filename=a.txt; filename=b.txt", "a.txt"),
        (b"attachment; filename=", ""),
        (b"attachment; filename*=UTF-8''%c3%a4", "\u00e4"),
        (b"attachment", None),
        (b"", None),
        (b"filename=a.txt", None),
        (b'attachment; filename="open', None),
        (b"attachment; x-filename=a.txt", None),
    ],
)
def test_the_name_that_the_field_suggests(field: bytes, name: str | None) -> None:
    assert suggested_name(field) == name


ATTACKS = [
    ("../../../etc/passwd", "passwd"),
    ("..\\..\\windows\\system32\\a.dll", "a.dll"),
    ("/etc/passwd", "passwd"),
    ("C:\\autoexec.bat", "autoexec.bat"),
    ("C:autoexec.bat", "C_autoexec.bat"),
    ("\\\\host\\share\\x", "x"),
    ("..", None),
    (".", None),
    ("...", None),
    (". .", None),
    ("", None),
    ("   ", None),
    ("a/", None),
    ("/", None),
    (".bashrc", "bashrc"),
    ("..a", "a"),
    (".ssh/authorized_keys", "authorized_keys"),
    ("a\x00.txt", "a.txt"),
    ("a\r\nb", "ab"),
    ("a\x1b[31mb", "a[31mb"),
    ("a\x7f\x85b", "ab"),
    ("\u202etxt.exe", "txt.exe"),
    ("a\u2066b\u200f", "ab"),
    ("a\u2028b", "ab"),
    ("a\ud800b", "ab"),
    ("\ufeffa", "a"),
    ("CON", "_CON"),
    ("con.txt", "_con.txt"),
    ("nul .txt", "_nul .txt"),
    ("Aux.tar.gz", "_Aux.tar.gz"),
    ("COM1", "_COM1"),
    ("lpt9.x", "_lpt9.x"),
    ("com\u00b9", "_com\u00b9"),
    ("CONIN$", "_CONIN$"),
    ("console", "console"),
    ("com10", "com10"),
    ("a.txt.", "a.txt"),
    ("a.txt ", "a.txt"),
    ("a. . .", "a"),
    ("a.txt::$DATA", "a.txt__$DATA"),
    ('a<b>c:d"e|f?g*h', "a_b_c_d_e_f_g_h"),
    ("-rf", "_rf"),
    ("--checkpoint-action=exec=sh", "_-checkpoint-action=exec=sh"),
    ("a\u0308.txt", "\u00e4.txt"),
    ("\U0001f469\u200d\U0001f52c.png", "\U0001f469\u200d\U0001f52c.png"),
    ("$(touch x).txt", "$(touch x).txt"),
    (".\u200b.", None),
    ("\u200b.bashrc", "bashrc"),
    (". . .bashrc", "bashrc"),
    (".\u3000. -rf", "_rf"),
    (". . con.txt", "_con.txt"),
    ("\u200d.bashrc\u200d", "bashrc"),
    (".\u200d.", None),
    ("a.\u00a0.", "a"),
]


@pytest.mark.parametrize(("given", "name"), ATTACKS)
def test_a_name_is_made_safe(given: str, name: str | None, tmp_path: Path) -> None:
    safe = safe_name(given)
    assert safe == name
    if safe is not None:
        assert safe_name(safe) == safe
        (tmp_path / safe).write_bytes(b"")
        assert os.listdir(tmp_path) == [safe]


@pytest.mark.parametrize("given", ["a" * 5000 + ".tar.gz", "\u20ac" * 5000 + ".pdf", "a." + "b" * 5000, "." * 5000 + "a", "x " * 5000])
def test_a_name_is_no_longer_than_disks_take(given: str) -> None:
    safe = safe_name(given)
    assert safe is not None
    assert len(safe.encode()) <= LONGEST
    assert safe_name(safe) == safe
    if given.endswith((".gz", ".pdf")):
        assert safe.endswith(given[-3:])


@pytest.mark.parametrize(
    ("field", "path", "name"),
    [
        (None, "/a/b.txt", "b.txt"),
        (None, "/a/b/", "b"),
        (None, "/", "download"),
        (None, "", "download"),
        (None, "/a%2Fb%2F..%2Fc", "c"),
        (None, "/..%5c..%5cx", "x"),
        (None, "/%2e%2e", "download"),
        (None, "/%00", "download"),
        (None, "/r%C3%A9sum%C3%A9", "r\u00e9sum\u00e9"),
        (None, "/%ff", "\ufffd"),
        (b'attachment; filename=".."', "/fallback", "fallback"),
        (b'attachment; filename=""', "/..", "download"),
        (b"inline", "/page.html", "page.html"),
        (b"attachment; filename*=UTF-8''..%2f..%2fetc%2fpasswd", "/x", "passwd"),
        (b"attachment; filename*=UTF-8''a%00b%0d%0a", "/x", "ab"),
    ],
)
def test_where_the_name_comes_from(field: bytes | None, path: str, name: str) -> None:
    assert file_name(field, path) == name


def test_a_long_field_takes_no_long_time() -> None:
    assert suggested_name(b'attachment; filename="' + b"\\" * 60_000) is None
    assert suggested_name(b"attachment" + b"; a=b" * 12_000 + b"; filename=x") == "x"
    assert suggested_name(b"attachment; a" + b" " * 60_000) is None
