"""What users type: every public name says what it is, and the examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

import aioreq

pytestmark = pytest.mark.no_loop

MODULES = ["aioreq", *(module.name for module in pkgutil.walk_packages(aioreq.__path__, "aioreq.") if module.name != "aioreq.__main__")]
NAMES = [name for name in aioreq.__all__ if name not in ("__version__", "SENSITIVE_HEADERS")]
# Not delivered yet: a stub would promise what isn't there.
ABSENT = ["SyncClient", "fetch_many"]


def load(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if name == "aioreq._parser":
            pytest.skip(f"the compiled parser isn't built ({error})")
        raise


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name: str) -> None:
    module = load(name)
    results = doctest.testmod(module, raise_on_error=False, optionflags=doctest.ELLIPSIS)
    assert results.failed == 0, f"{results.failed} of {results.attempted} examples in {name} fail; see the output"


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    with_examples = {name for name in MODULES if name != "aioreq._parser" and any(test.examples for test in finder.find(load(name)))}
    assert with_examples >= {"aioreq.config", "aioreq.models", "aioreq.cookies", "aioreq.auth"}


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_has_a_docstring(name: str) -> None:
    value = getattr(aioreq, name)
    doc = inspect.getdoc(value)
    assert doc
    if not isinstance(value, ModuleType):
        assert value.__doc__, f"{name} has only the docstring of its parent"
    first = doc.splitlines()[0]
    assert first[0].isupper() or first.startswith(("aioreq", "`", "HTTP")), first
    assert not first.startswith(name + "("), f"{name} shows a generated signature, no docstring"


def members(kind: type[Any]) -> list[str]:
    """The public methods and properties that a class of ours defines."""
    return [
        name
        for name, value in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
    ]


@pytest.mark.parametrize("name", [name for name in NAMES if inspect.isclass(getattr(aioreq, name))])
def test_a_public_method_has_a_docstring(name: str) -> None:
    kind = getattr(aioreq, name)
    for parent in kind.__mro__:
        if parent.__module__.startswith("aioreq."):
            bare = [member for member in members(parent) if not inspect.getdoc(getattr(parent, member))]
            assert not bare, f"{parent.__name__}: {bare} without a docstring"


@pytest.mark.parametrize("name", MODULES)
def test_a_module_lists_names_that_it_has(name: str) -> None:
    module = load(name)
    listed = getattr(module, "__all__", [])
    assert len(listed) == len(set(listed))
    for public in listed:
        assert hasattr(module, public), f"{name}.__all__ names {public}"


def test_star_import_gives_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from aioreq import *", namespace)
    assert set(aioreq.__all__) <= set(namespace)


def test_dir_and_getattr() -> None:
    assert dir(aioreq) == sorted(aioreq.__all__)
    with pytest.raises(AttributeError, match="module 'aioreq' has no attribute 'nope'"):
        _ = aioreq.nope


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_not_delivered_yet_is_absent(name: str) -> None:
    assert not hasattr(aioreq, name)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, aioreq; print(*sorted(m for m in sys.modules if m.split('.')[0] in ('asyncio', 'ssl', 'yarl', 'multidict', 'idna')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_name_is_the_same_object_each_time() -> None:
    for name in NAMES:
        assert getattr(aioreq, name) is getattr(aioreq, name)
