"""What a head says about its body and beyond: Content-Type (RFC 9110 section 8.3) and links (RFC 8288)."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

import aioreq
from aioreq.media_type import parse_media_type
from aioreq.models import Request
from aioreq.testing import Reply, Server

pytestmark = pytest.mark.no_loop


@pytest.mark.parametrize(
    ("field", "name", "params"),
    [
        (None, "", {}),
        (b"", "", {}),
        (b"text/html", "text/html", {}),
        (b" Text/HTML ; Charset=UTF-8 ", "text/html", {"charset": "UTF-8"}),
        (b'a/b;x="1;2, 3=\\"\\4";y=2', "a/b", {"x": '1;2, 3="4', "y": "2"}),
        (b'a/b; x="a b" ; y=', "a/b", {"x": "a b", "y": ""}),
        (b"application/vnd.api+json; a=1; A=2", "application/vnd.api+json", {"a": "1"}),
        # Malformed: passed over
        (b"text", "", {}),
        (b"text/", "", {}),
        (b"te xt/html;a=1", "", {"a": "1"}),
        (b"a/b/c", "", {}),
        (b"text/html, text/plain", "", {}),
        (b"a/b;;;x;=1;y z=2; z = 3 ;w=4 5", "a/b", {"z": "3", "w": "4 5"}),
        (b'a/b;x="open; y=2', "a/b", {"x": "open; y=2"}),
        (b'a/b;x="open\\', "a/b", {"x": "open"}),
        (b'a/b;x="1"rubbish;y=2', "a/b", {"x": "1", "y": "2"}),
        (b"a/b;\xff=1;x=\xff", "a/b", {"x": "\udcff"}),
    ],
)
def test_media_types(field: bytes | None, name: str, params: dict[str, str]) -> None:
    assert parse_media_type(field) == (name, params)
    fields = [] if field is None else [(b"content-TYPE", field)]
    assert aioreq.Response(Request("GET", "http://h/"), "1.1", 200, b"", fields).content_type == name


@given(st.lists(st.sampled_from([*'a/;="\\ \t,', "\xff", "<", ">", "rel=", "charset="]), max_size=40).map("".join))
def test_any_field_is_read(field: str) -> None:
    fields = [(b"Content-Type", field.encode()), (b"Link", field.encode())]
    response = aioreq.Response(Request("GET", "http://h/"), "1.1", 200, b"", fields)
    assert isinstance(response.content_type, str)
    assert response.text == ""
    assert isinstance(dict(response.links), dict)


def links(*fields: bytes, url: str = "http://user:secret@h:81/a/b?x#f") -> list[tuple[str, dict[str, object]]]:
    response = aioreq.Response(Request("GET", url), "1.1", 200, b"", [(b"LINK", field) for field in fields])
    return [(rel, {name: str(value) for name, value in link.items()}) for rel, link in response.links.items()]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"", []),
        (b"<c>; rel=next", [("next", {"rel": "next", "url": "http://h:81/a/c"})]),
        (b'<>; rel="self"', [("self", {"rel": "self", "url": "http://h:81/a/b?x"})]),
        (b"<?page=2>;rel=next", [("next", {"rel": "next", "url": "http://h:81/a/b?page=2"})]),
        (b"<//o/%7e>; REL=x", [("x", {"rel": "x", "url": "http://o/%7e"})]),
        # Commas and semicolons in URLs and quoted strings; several links; empty elements
        (
            b',, </a,b;c>; title="x, <y>; z=\\"q\\"" ; rel = "next" , ,</d>;rel=prev,',
            [
                ("next", {"title": 'x, <y>; z="q"', "rel": "next", "url": "http://h:81/a,b;c"}),
                ("prev", {"rel": "prev", "url": "http://h:81/d"}),
            ],
        ),
        # Several relations, one twice
        (
            b'</a>; rel="next  last next"',
            [
                ("next", {"rel": "next  last next", "url": "http://h:81/a"}),
                ("last", {"rel": "next  last next", "url": "http://h:81/a"}),
            ],
        ),
        # The first of a repeated parameter counts; one without a value; the extended form before the plain one
        (
            b"</a>; rel=x; rel=y; crossorigin; title=plain; title*=UTF-8'de'n%c3%a4chstes; foo*=bad; url=no",
            [("x", {"rel": "x", "crossorigin": "", "title": "n\xe4chstes", "url": "http://h:81/a"})],
        ),
        # Bytes that no URI holds, in an extended value
        (b"</a>; rel=x; title=plain; title*=UTF-8''\xff%41", [("x", {"rel": "x", "title": "plain", "url": "http://h:81/a"})]),
        # Another resource's, no relation, what can't be requested
        (b'</a>; rel=x; anchor="/other"', []),
        (b'</a>; rel=x; anchor="#part"', []),
        (b'</a>; rel=x; anchor=""', [("x", {"rel": "x", "anchor": "", "url": "http://h:81/a"})]),
        (b"</a>, </b>; title=x, <mailto:a@b>; rel=author, <http://127.1/>; rel=x, </c>; rel=y", [("y", {"rel": "y", "url": "http://h:81/c"})]),
        # Malformed: what comes before it counts, and what comes behind it where it is sure
        (b"</a>; rel=x; title=\"open, </b>; rel=y", [("x", {"rel": "x", "title": "open, </b>; rel=y", "url": "http://h:81/a"})]),
        (b"</a>; rel=\"x\"rubbish; rel=z, </b>; rel=y", [("x", {"rel": "x", "url": "http://h:81/a"}), ("y", {"rel": "y", "url": "http://h:81/b"})]),
        (b"</a>; rel=x, rubbish, </b>; rel=y", [("x", {"rel": "x", "url": "http://h:81/a"})]),
        (b"</a; rel=x", []),
    ],
)  # fmt: skip
def test_links(field: bytes, expected: list[tuple[str, dict[str, str]]]) -> None:
    assert links(field) == expected


def test_links_of_several_fields() -> None:
    found = links(b"</a>; rel=preload; as=style, </b>; rel=PRELOAD", b"</c>; rel=next")
    assert [(rel, link["url"]) for rel, link in found] == [
        ("preload", "http://h:81/a"),
        ("PRELOAD", "http://h:81/b"),
        ("next", "http://h:81/c"),
    ]
    with Server(routes=_linked) as server:
        response = aioreq.get(server.url + "/list?page=1")
        assert response.links["NEXT"]["url"] == URL(server.url + "/list?page=2")
        assert len(response.links.getall("preload")) == 2
        assert "last" not in response.links
        assert aioreq.get(response.links["next"]["url"]).text == "page 2"


def _linked(server: Server) -> None:
    fields = [("Link", '<?page=2>; rel="next"'), ("Link", "</a>; rel=preload, </b>; rel=preload")]
    server.route("/list", lambda asked: Reply(200, fields, f"page {dict(asked.query)['page']}"))


HOSTILE = [b"<a>;" + b" " * 50_000, b"<a>" + b";x" * 25_000, b'<a>;x="' + b"\\" * 50_000, b"<" * 50_000, b"," * 50_000]
HOSTILE += [b"<a>;rel=x," * 5000, b"<a>;x=" + b'"\\"' * 16_000, b"<a>" + b"\t" * 50_000, b"<a>;x" + b" " * 50_000 + b"x"]


@pytest.mark.parametrize("field", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_fields_take_no_time(field: bytes) -> None:
    start = time.process_time()
    links(field)
    parse_media_type(b"a/b;x=" + field)
    assert time.process_time() - start < 5  # quadratic time would be minutes
