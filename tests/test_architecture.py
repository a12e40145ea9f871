"""Holds up the walls of ARCHITECTURE.md: imports point down or sideways, every module stands on a floor, the public names are exact.

Reads the source; imports nothing but `aioreq` itself.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import aioreq

pytestmark = pytest.mark.no_loop

PACKAGE = Path(aioreq.__file__).parent

# From the roof down. A name stands for the module and, where it is a package, for all that is in it.
FLOORS = {
    "conveniences": "__init__ __main__ http stream_client sync bulk cli progress_bar testing compat",
    "policy": "client stream_context download settings protection request_options middlewares websocket sse",
    "connections": "connector pool slots stats opener dialer dial_options connection detached deadlines faces upload sendfile dns "
    "resolvers tls tls_transport certificates trust proxies tunnel guard",
    "messages": "models saving keep_alive request_head request_body request_trailers forms multipart compression transfer response "
    "response_head response_headers response_body pieces media_type links text_stream event_stream multipart_reader encodings codings "
    "terms framing parser _parser _fields _chunked _gathered _masking _frames "
    "_parser_py _fields_py _chunked_py _gathered_py _masking_py _frames_py",
    "vocabulary": "headers urls content_disposition partial_file cookies set_cookie cookie_files public_suffixes "
    "auth challenges digest bearer netrc config retries retry_after errors threads loop_end _version",
}
HEIGHT = {name: -depth for depth, names in enumerate(FLOORS.values()) for name in names.split()}

MODULES = sorted(path.relative_to(PACKAGE).as_posix() for pattern in ("*.py", "*.pyx", "*.pxi") for path in PACKAGE.rglob(pattern))


def floor_of(module: str) -> int:
    """The height of a dotted module below `aioreq` (`middlewares.retry`)."""
    noun = module.split(".")[0]
    assert noun in HEIGHT, f"aioreq.{module} stands on no floor: give it one here and in ARCHITECTURE.md"
    return HEIGHT[noun]


def imported(source: str, module: str) -> Iterator[str]:
    """The modules of the package that `source` imports, but for type checking: `urls`, `middlewares.retry`, `__init__`."""
    package = module.split(".")[:-1]
    for node in _run_time_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "aioreq" or alias.name.startswith("aioreq."):
                    yield alias.name.removeprefix("aioreq").lstrip(".") or "__init__"
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - (node.level - 1)] + (node.module or "").split(".")
            elif node.module and node.module.split(".")[0] == "aioreq":
                base = node.module.split(".")[1:]
            else:
                continue
            origin = ".".join(filter(None, base))
            for alias in node.names:
                # `from . import urls` names a module, `from .urls import parse` something in one.
                yield origin or (alias.name if alias.name in HEIGHT else "__init__")


def _run_time_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for other in node.orelse:
                yield other
                yield from _run_time_nodes(other)
            continue
        yield node
        yield from _run_time_nodes(node)


def python_of(path: Path) -> str:
    """The source as `ast` can read it: all of a .py, the import lines of what Cython compiles."""
    source = path.read_text("utf-8")
    if path.suffix == ".py":
        return source
    lines = re.findall(r"^\s*((?:from\s+[\w.]+\s+c?import|c?import)\s+[^#(\n]+)", source, re.MULTILINE)
    return "\n".join(line.replace("cimport", "import") for line in lines)


def upward(source: str, module: str) -> list[str]:
    """The imports of `source` that point up from where `module` stands."""
    return [target for target in imported(source, module) if floor_of(target) > floor_of(module)]


@pytest.mark.parametrize("file", MODULES)
def test_imports_point_down_or_sideways(file: str) -> None:
    module = file.rsplit(".", 1)[0].replace("/", ".")
    assert upward(python_of(PACKAGE / file), module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("urls", "from .client import Client"),
        ("urls", "from . import errors, pool"),
        ("urls", "import aioreq.models"),
        ("urls", "from aioreq.models import Request"),
        ("models", "import aioreq"),
        ("models", "from aioreq import Client"),
        ("pool", "def late():\n    from .middlewares.retry import RetryMiddleWare"),
        ("middlewares.retry", "from ..cli import main"),
        ("middlewares.retry", "from .. import sync"),
        ("middlewares.__init__", "from ..http import Client"),
        ("connection", "if TYPE_CHECKING:\n    pass\nelse:\n    from .client import Client"),
    ],
)
def test_a_planted_upward_import_is_found(module: str, source: str) -> None:
    assert len(upward(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("client", "from .pool import Pool\nfrom . import errors"),
        ("pool", "from .opener import Opener"),
        ("middlewares.retry", "from . import base\nfrom .base import MiddleWare\nfrom ..models import Request\nfrom ..auth import x"),
        ("urls", "if TYPE_CHECKING:\n    from .client import Client"),
        ("urls", "import asyncio, aioreqlike\nfrom yarl import URL"),
        ("cli", "import aioreq"),
    ],
)
def test_an_import_down_or_sideways_is_left_alone(module: str, source: str) -> None:
    assert upward(source, module) == []


def test_a_module_without_a_floor_is_found() -> None:
    with pytest.raises(AssertionError, match=r"aioreq\.attic stands on no floor"):
        floor_of("attic")


def test_a_compiled_module_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.pyx").write_text("cimport cython\nfrom .client import Client\ncdef int f(): return 1\n")
    assert upward(python_of(tmp_path / "x.pyx"), "parser") == ["client"]


NOUNS = {file.split("/")[0].removesuffix(".py") for file in MODULES}


def test_the_public_names_are_those_of_all() -> None:
    assert len(set(aioreq.__all__)) == len(aioreq.__all__)
    seen = {name for name in dir(aioreq) if not name.startswith("_")}
    assert seen - NOUNS == {name for name in aioreq.__all__ if not name.startswith("_")} - NOUNS


@pytest.mark.parametrize("name", aioreq.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(aioreq, name) is not None


def test_no_module_hides_a_public_name() -> None:
    # Importing `aioreq.x` sets the attribute `x` of the package, over whatever `aioreq.x` was meant to be.
    assert NOUNS & set(aioreq.__all__) == {"errors", "http", "middlewares", "testing"}


@pytest.mark.parametrize("file", MODULES)
def test_a_file_is_about_one_noun(file: str) -> None:
    lines = (PACKAGE / file).read_text("utf-8").count("\n")
    assert lines <= 450, f"{file}: {lines} lines; do two nouns live in it?"
    if file.startswith("compat/"):  # whose names are another's
        return
    assert not set(file.rsplit(".", 1)[0].split("/")) & {"utils", "util", "helpers", "misc", "common"}


@pytest.mark.parametrize("file", [file for file in MODULES if (PACKAGE / file).stat().st_size])
def test_a_file_opens_with_its_job(file: str) -> None:
    if not file.endswith(".py"):
        text = (PACKAGE / file).read_text("utf-8")
        assert re.match(r'(#.*\n|\s)*"""\S', text), f"{file} has no docstring"
    else:
        assert ast.get_docstring(ast.parse((PACKAGE / file).read_text("utf-8"))), f"{file} has no docstring"
