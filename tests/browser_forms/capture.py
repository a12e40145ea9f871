"""Has a browser send the forms below to a server of its own and keeps what arrived: `python tests/browser_forms/capture.py [BROWSER]`.

BROWSER is Chromium's command (default: chromium). It runs headless, fills each form by script and submits it, as a user's click would:
`form` by an HTML form, `fetch` by `fetch(url, {body: FormData})`, `params` by `fetch(url, {body: URLSearchParams})`. Writes
chromium.json beside this file; bytes stand there as Latin-1 text. tests/test_forms_browser.py compares.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent / "chromium.json"
SECONDS = 120

MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
NAMES = [
    'a"b',
    "a\nb",
    "a\rb",
    "a\r\nb",
    "a\tb",
    "a\\b",
    "a%22b",
    "a;b=c",
    "a b",
    "a&b=c+d",
    "a[]",
    "n\xe4m\xe9",
    "\u540d\u524d",
    "\U0001f600",
]
TEXTS = [
    "",
    "plain",
    "one\ntwo\nthree\n",
    "one\rtwo\r\nthree\n\rfour",
    '"quoted" & more=+%~*-._!\'()',
    "caf\xe9 \u2028 \u6f22\u5b57 \U0001f600",
    " \t ",
    "a\x00b\x7f",
]
BYTES = "".join(map(chr, range(256)))


def file(name: str, content: str = "content\n", kind: str = "text/plain") -> dict[str, str]:
    return {"filename": name, "type": kind, "content": content}


NO_FILE = file("", "", "application/octet-stream")  # what an <input type=file> without a file is
CASES: list[dict[str, Any]] = []


def case(name: str, way: str, enctype: str, fields: list[Any]) -> None:
    CASES.append({"name": name, "way": way, "enctype": enctype, "fields": fields})


for _way, _enctype in (("form", MULTIPART), ("fetch", MULTIPART), ("form", URLENCODED), ("params", URLENCODED)):
    _said = f"{_way} {_enctype.partition('/')[2]}"
    case(f"{_said}: texts", _way, _enctype, [[f"text{number}", text] for number, text in enumerate(TEXTS)])
    case(f"{_said}: names", _way, _enctype, [[name, name] for name in NAMES])
    case(f"{_said}: repeated", _way, _enctype, [["b", "1"], ["a", "2"], ["b", "3"], ["b", "1"]])
    if _way != "form":  # a form's control without a name isn't sent, nor is a form without controls one of the two at hand
        case(f"{_said}: empty name", _way, _enctype, [["", "value"], ["b", ""]])
for _way in ("form", "fetch"):
    case(f"{_way}: nothing", _way, MULTIPART, [])
    case(f"{_way}: one file", _way, MULTIPART, [["text", "x"], ["file", file("notes.txt")]])
    case(f"{_way}: names of files", _way, MULTIPART, [["file", file(name)] for name in NAMES])
    case(f"{_way}: names of fields of files", _way, MULTIPART, [[name, file("f")] for name in NAMES])
    case(f"{_way}: an empty file", _way, MULTIPART, [["file", file("empty", "", "image/png")], ["last", "one\ntwo"]])
    case(f"{_way}: bytes", _way, MULTIPART, [["file", file("bytes.bin", BYTES * 3 + "\r\n--\r\n\n\r", "application/octet-stream")]])
    case(f"{_way}: types", _way, MULTIPART, [["file", file("f", "x", kind)] for kind in ("", "text/html;charset=utf-8", "image/svg+xml")])
    case(
        f"{_way}: several files between fields",
        _way,
        MULTIPART,
        [
            ["first", "1"],
            ["files", file("a.txt", "a")],
            ["files", file("b.csv", "b,c\n", "text/csv")],
            ["between", "\n"],
            ["files", file("c", "")],
        ],
    )
case("form: no file chosen", "form", MULTIPART, [["file", None], ["text", "after"]])

PAGE = """<!doctype html><meta charset="utf-8"><title>forms</title><script type="module">
const cases = await (await fetch("/cases")).json();
const bytes = text => Uint8Array.from(text, character => character.charCodeAt(0));
const fileOf = value => new File([bytes(value.content)], value.filename, {type: value.type});
function formOf({enctype, fields}) {
  const form = Object.assign(document.createElement("form"), {method: "post", enctype});
  for (const [name, value] of fields) {
    const text = typeof value === "string";
    const control = document.createElement(text ? (value.includes("\\n") ? "textarea" : "input") : "input");
    control.setAttribute("name", name);
    if (text) {
      if (control.tagName === "INPUT") control.type = "hidden";
      control.value = value;
    } else {
      control.type = "file";
      if (value !== null) {
        const chosen = new DataTransfer();
        chosen.items.add(fileOf(value));
        control.files = chosen.files;
      }
    }
    form.append(control);
  }
  return form;
}
for (const [number, one] of cases.entries()) {
  const url = "/form/" + number;
  if (one.way === "form") {
    const frame = document.createElement("iframe");
    frame.name = "frame" + number;
    document.body.append(frame);
    const form = formOf(one);
    Object.assign(form, {action: url, target: frame.name});
    document.body.append(form);
    const loaded = new Promise(resolve => frame.addEventListener("load", resolve));
    HTMLFormElement.prototype.submit.call(form);
    await loaded;
  } else {
    const body = one.way === "fetch" ? new FormData() : new URLSearchParams();
    for (const [name, value] of one.fields) body.append(name, typeof value === "string" ? value : fileOf(value));
    await fetch(url, {method: "POST", body});
  }
}
await fetch("/done", {method: "POST", body: navigator.userAgent});
</script><body></body>"""


class Forms(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    arrived: dict[int, tuple[str, bytes]]
    ended: threading.Event
    browser = ""

    def do_GET(self) -> None:
        if self.path == "/cases":
            self.answer(json.dumps(CASES).encode(), "application/json")
        else:
            self.answer(PAGE.encode(), "text/html; charset=utf-8")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/done":
            Forms.browser = body.decode()
            self.ended.set()
        else:
            self.arrived[int(self.path.rpartition("/")[2])] = (self.headers["Content-Type"], body)
        self.answer(b"ok", "text/plain")

    def answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def main(browser: str) -> None:
    Forms.arrived, Forms.ended = {}, threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Forms) as server, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        url = f"http://127.0.0.1:{server.server_port}/"
        running = subprocess.Popen([browser, *options, url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            if not Forms.ended.wait(SECONDS):
                raise SystemExit(f"the browser sent {len(Forms.arrived)} of {len(CASES)} forms in {SECONDS} s")
        finally:
            running.terminate()
            running.wait()
            server.shutdown()
    forms = [
        {**one, "content_type": Forms.arrived[number][0], "body": Forms.arrived[number][1].decode("latin-1")}
        for number, one in enumerate(CASES)
    ]
    TARGET.write_text(json.dumps({"browser": Forms.browser, "forms": forms}, indent=1) + "\n", encoding="utf-8")
    print(f"{len(forms)} forms by {Forms.browser}: {TARGET}")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["chromium"]))
