"""What a build gives: sdist -> wheel, with and without a compiler, and whether the wheel runs in an environment of its own.

Builds from a copy of the checkout, so that nothing here depends on what lies around in it. Needs `build`'s backend (setuptools and
Cython) beside pytest, and for the wheels that are installed the packages that the running environment has.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [
    pytest.mark.packaging,
    pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="tests run away from a checkout: there is nothing to build"),
    pytest.mark.skipif(importlib.util.find_spec("Cython") is None, reason="no Cython in this environment: nothing can be compiled"),
]

AUTO: dict[str, str] = {}  # the default
REQUIRED = {"AIOREQ_EXTENSIONS": "required"}
UNOPTIMISED = {} if os.name == "nt" else {"CFLAGS": "-O0"}  # compiled in half the time
BROKEN_COMPILER = {"CC": shutil.which("false") or "no-compiler-here"}


def run(
    *command: str | Path, cwd: Path, variables: Mapping[str, str] = MappingProxyType({}), check: bool = True
) -> subprocess.CompletedProcess[str]:
    """The command's result, and on failure (with `check`) all that it wrote."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIOREQ_", "PYTHON", "COV_"))}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**environment, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check:
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result


def build(kind: str, source: Path, out: Path, variables: Mapping[str, str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """`build_wheel` or `build_sdist` of the build backend, by the hook that pip and build call, with this environment's setuptools."""
    out.mkdir(exist_ok=True)
    hook = f"import sys; sys.path.insert(0, ''); from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    return run(sys.executable, "-c", hook, cwd=source, variables=variables, check=check)


def only(folder: Path, pattern: str) -> Path:
    [path] = folder.glob(pattern)
    return path


def names_in(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def is_compiled(name: str) -> bool:
    return name.startswith("aioreq/_parser.") and name.endswith((".so", ".pyd"))


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a clone holds: no build products."""
    copy = tmp_path_factory.mktemp("checkout") / "aioreq"
    products = shutil.ignore_patterns(
        ".*", "__pycache__", "*.so", "*.pyd", "*.egg-info", "build", "dist", "wheelhouse", "crashes", "_parser.c", "venv*"
    )
    shutil.copytree(ROOT, copy, ignore=products)
    return copy


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sdist")
    build("sdist", checkout, out, AUTO)
    return only(out, "*.tar.gz")


@pytest.fixture
def unpacked(sdist: Path, tmp_path: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    return only(tmp_path / "source", "aioreq-*")


@pytest.fixture(scope="module")
def built(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source tree, unpacked from the sdist, after a compiled wheel was built in it; that lies in ../dist."""
    folder = tmp_path_factory.mktemp("built")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = only(folder, "aioreq-*")
    build("wheel", source, folder / "dist", REQUIRED)
    return source


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel as it is released: compiled, from the sdist."""
    return only(built.parent / "dist", "*.whl")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The interpreter of a fresh environment that sees this one's packages, but no aioreq."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=os.name != "nt", with_pip=False)
    site = Path(run(folder / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).stdout.strip())
    for package in ("multidict", "yarl", "idna", "propcache"):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, site / package)
    yield folder / "bin" / "python"
    shutil.rmtree(folder)


def run_wheel(wheel: Path, python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs an interpreter on an unpacked wheel, which is all that installing a wheel without scripts comes to."""
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return run(python, *arguments, cwd=folder, variables={"PYTHONPATH": str(folder / "site")})


def test_the_sdist_holds_source_and_tests_but_nothing_generated(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"aioreq/_parser.pyx", "aioreq/_parser_py.py", "aioreq/py.typed", "setup.py", "pyproject.toml", "LICENSE", "Makefile"} <= names
    assert {"tests/conftest.py", "tests/test_packaging.py", "examples/demo.py"} <= names
    assert [name for name in names if name.startswith("aioreq/") and name.endswith((".c", ".so", ".pyd", ".pyc"))] == []


def test_the_released_wheel_holds_the_compiled_parser_and_no_source_of_it(wheel: Path) -> None:
    names = names_in(wheel)
    assert len([name for name in names if is_compiled(name)]) == 1
    assert [name for name in names if name.endswith((".pyx", ".pxi", ".c"))] == []
    assert {"aioreq/py.typed", "aioreq/_parser.pyi", "aioreq/_parser_py.py", "aioreq/cli.py"} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"aioreq"}
    assert "none-any" not in wheel.name
    assert f"cp{sys.version_info[0]}{sys.version_info[1]}" in wheel.name


def test_the_released_wheel_runs_compiled(wheel: Path, environment: Path, tmp_path: Path) -> None:
    said = run_wheel(wheel, environment, tmp_path, "-m", "aioreq", "--version").stdout
    assert "compiled parser" in said


def test_the_version_is_written_once(wheel: Path, environment: Path, tmp_path: Path) -> None:
    version = run_wheel(wheel, environment, tmp_path, "-c", "import aioreq; print(aioreq.__version__)").stdout.strip()
    assert wheel.name.startswith(f"aioreq-{version}-")


def test_every_module_is_in_the_wheel(wheel: Path, checkout: Path) -> None:
    assert {f"aioreq/{name}" for name in tree(checkout / "aioreq") if name.endswith((".py", ".pyi"))} <= names_in(wheel)


def test_the_command_is_installed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [entry_points] = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        assert "aioreq = aioreq.cli:main" in archive.read(entry_points).decode()


def test_without_a_compiler_the_wheel_is_pure_says_so_and_runs(unpacked: Path, environment: Path, tmp_path: Path) -> None:
    before = tree(unpacked)
    result = build("wheel", unpacked, tmp_path / "dist", BROKEN_COMPILER)
    assert "did not compile" in result.stderr
    pure = only(tmp_path / "dist", "*.whl")
    assert pure.name.endswith("-py3-none-any.whl")
    assert [name for name in names_in(pure) if is_compiled(name)] == []
    assert "pure parser" in run_wheel(pure, environment, tmp_path, "-m", "aioreq", "--version").stdout
    left = {name for name in tree(unpacked) - before if not name.startswith(("build/", "aioreq.egg-info/"))}
    assert left == set(), "the build wrote into the source tree"


def test_a_compiled_build_leaves_no_generated_file_in_the_package(unpacked: Path, built: Path) -> None:
    assert tree(built / "aioreq") == tree(unpacked / "aioreq")


def test_a_pure_wheel_takes_nothing_from_an_earlier_compiled_build(built: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(built, source)
    assert [name for name in tree(source / "build") if name.endswith((".so", ".pyd"))], "there is nothing to take"
    os.utime(source / "aioreq" / "_parser.pyx")
    build("wheel", source, tmp_path / "dist", BROKEN_COMPILER)
    pure = only(tmp_path / "dist", "*.whl")
    assert pure.name.endswith("-py3-none-any.whl")
    assert [name for name in names_in(pure) if is_compiled(name)] == []


def test_required_fails_without_a_compiler(unpacked: Path, tmp_path: Path) -> None:
    result = build("wheel", unpacked, tmp_path / "dist", REQUIRED | BROKEN_COMPILER, check=False)
    assert result.returncode != 0
    assert "AIOREQ_EXTENSIONS=required, but aioreq._parser did not compile" in result.stderr
    assert list((tmp_path / "dist").glob("*.whl")) == []


def test_required_fails_without_cython(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "Cython").mkdir()
    (unpacked / "Cython" / "__init__.py").write_text("raise ImportError('no Cython here')\n")
    result = build("wheel", unpacked, tmp_path / "dist", REQUIRED, check=False)
    assert result.returncode != 0
    assert "did not compile: no Cython here" in result.stderr


def test_auto_without_cython_is_pure(unpacked: Path, tmp_path: Path) -> None:
    (unpacked / "Cython").mkdir()
    (unpacked / "Cython" / "__init__.py").write_text("raise ImportError('no Cython here')\n")
    result = build("wheel", unpacked, tmp_path / "dist", AUTO)
    assert "did not compile (no Cython here)" in result.stderr
    assert only(tmp_path / "dist", "*.whl").name.endswith("-py3-none-any.whl")


def test_off_is_pure_though_a_compiler_is_there(unpacked: Path, tmp_path: Path) -> None:
    build("wheel", unpacked, tmp_path / "dist", {"AIOREQ_EXTENSIONS": "off"})
    pure = only(tmp_path / "dist", "*.whl")
    assert pure.name.endswith("-py3-none-any.whl")
    assert [name for name in names_in(pure) if is_compiled(name)] == []


def test_a_misspelt_mode_is_an_error(unpacked: Path, tmp_path: Path) -> None:
    result = build("wheel", unpacked, tmp_path / "dist", {"AIOREQ_EXTENSIONS": "require"}, check=False)
    assert result.returncode != 0
    assert "AIOREQ_EXTENSIONS='require': must be required, off or auto" in result.stderr


def test_in_place_the_compiled_parser_lies_beside_its_source(unpacked: Path, tmp_path: Path) -> None:
    before = tree(unpacked / "aioreq")
    run(sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", cwd=unpacked, variables=REQUIRED | UNOPTIMISED)
    [added] = tree(unpacked / "aioreq") - before
    assert is_compiled(f"aioreq/{added}")
    os.utime(unpacked / "aioreq" / "_parser.pyx")
    run(sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", cwd=unpacked, variables=BROKEN_COMPILER)
    assert tree(unpacked / "aioreq") == before, "a parser that no longer fits its source stayed"


@pytest.mark.skipif(sys.platform != "linux", reason="manylinux is about Linux")
def test_the_compiled_wheel_fits_every_manylinux(wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("auditwheel", reason="auditwheel is not installed")
    said = " ".join(run(sys.executable, "-m", "auditwheel", "show", wheel, cwd=tmp_path).stdout.split())
    assert "manylinux" in said
    assert "constrains the platform tag to" in said
    assert 'tag: "linux_' not in said


def test_the_python_versions_are_the_same_everywhere() -> None:
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    least = metadata["project"]["requires-python"].removeprefix(">=")
    assert metadata["tool"]["mypy"]["python_version"] == least
    assert metadata["tool"]["ruff"]["target-version"] == "py" + least.replace(".", "")
    named = {line.rpartition(":: ")[2] for line in metadata["project"]["classifiers"] if ":: 3." in line}
    built = {"3." + tag.removeprefix("cp3").removesuffix("-*") for tag in metadata["tool"]["cibuildwheel"]["build"].split()}
    assert least in named
    assert named == built
