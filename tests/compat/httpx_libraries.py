"""Either library, as `lib`, and what aioreq has for it, as `ours`."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from peers import needed_module


@pytest.fixture(params=["httpx", "httpx2"])
def lib(request: pytest.FixtureRequest) -> Any:
    return needed_module(request.param, request.param)


@pytest.fixture
def ours(lib: Any) -> Any:
    return importlib.import_module(f"aioreq.compat.{lib.__name__}")
