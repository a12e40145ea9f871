"""Forms as a browser sends them, byte for byte: what Chromium sent (tests/browser_forms), and what we send of the same fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import aioreq
from aioreq.testing import Server

CAPTURED = json.loads((Path(__file__).parent / "browser_forms" / "chromium.json").read_text(encoding="utf-8"))
MULTIPART = [form for form in CAPTURED["forms"] if form["enctype"] == "multipart/form-data"]


def value_of(value: Any) -> dict[str, Any]:
    """A captured value as `add_field` takes it; a file input without a file is an empty file without a name."""
    if isinstance(value, str):
        return {"value": value}
    if value is None:
        return {"value": b"", "filename": ""}
    return {"value": value["content"].encode("latin-1"), "filename": value["filename"], "content_type": value["type"] or None}


@pytest.mark.parametrize("form", CAPTURED["forms"], ids=[form["name"] for form in CAPTURED["forms"]])
async def test_a_form_is_the_browsers(server: Server, client: aioreq.Client, form: dict[str, Any]) -> None:
    sent = form["body"].encode("latin-1")
    data: Any
    if form["way"] == "params":
        data = form["fields"]
    else:
        data = aioreq.FormData(multipart=form["enctype"] == "multipart/form-data")
        for name, value in form["fields"]:
            data.add_field(name, **value_of(value))

    await client.post(server.url + "/anything", data=data, headers={"Content-Type": form["content_type"]})
    assert server.requests[-1].header("content-type") == form["content_type"]
    assert server.requests[-1].body == sent

    # And with what we choose ourselves.
    await client.post(server.url + "/anything", data=data)
    own_type = server.requests[-1].header("content-type") or ""
    kind, _, boundary = own_type.partition("; boundary=")
    theirs, _, their_boundary = form["content_type"].partition("; boundary=")
    assert kind == theirs.partition(";")[0]
    if boundary:
        assert boundary.encode() not in sent
        sent = sent.replace(their_boundary.encode(), boundary.encode())
    assert server.requests[-1].body == sent
    assert server.requests[-1].header_values("content-length") == [str(len(sent))]


@pytest.mark.parametrize(
    "form", [form for form in CAPTURED["forms"] if form["enctype"] == "multipart/form-data"], ids=lambda form: form["name"]
)
async def test_streamed_it_is_the_same(server: Server, client: aioreq.Client, form: dict[str, Any]) -> None:
    data = aioreq.FormData(multipart=True)
    for name, value in form["fields"]:
        given = value_of(value)
        if "filename" in given:
            content = given["value"]
            given["value"] = [content[start : start + 100] for start in range(0, len(content), 100)]
        data.add_field(name, **given)
    await client.post(server.url + "/anything", data=data, headers={"Content-Type": form["content_type"]})
    assert server.requests[-1].body == form["body"].encode("latin-1")


def test_what_was_captured() -> None:
    assert "HeadlessChrome/" in CAPTURED["browser"]
    assert len(CAPTURED["forms"]) >= 30
    assert {(form["way"], form["enctype"].partition("/")[2]) for form in CAPTURED["forms"]} == {
        ("form", "form-data"),
        ("fetch", "form-data"),
        ("form", "x-www-form-urlencoded"),
        ("params", "x-www-form-urlencoded"),
    }
