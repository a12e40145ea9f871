"""The compiled parser, built once more with AddressSanitizer and UndefinedBehaviorSanitizer: here, never in the package.

Knows gcc and Cython, and nothing of what is fed to the parser.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "aioreq"
BUILD = Path(__file__).parent / "build"
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1"]

# By what is fuzzed: a file, the line of it that bounds a loop, the line without that bound, and the function in which it is. Bytes
# behind the end are then read. Only `--plant` builds these.
PLANTS = {
    "responses": (
        "_fields.pxi",
        "while at < end and KIND[at[0]] & IS_TOKEN:",
        "while KIND[at[0]] & IS_TOKEN:",
        "skip_token",
    ),
    "frames": ("_masking.pxi", "words = size >> 3", "words = (size + 7) >> 3", "mask_into"),
}


def build(planted: str | None) -> Path:
    """The extension's path; made anew each time, in a folder of its own. `planted`: a key of PLANTS."""
    folder = BUILD / ("planted" if planted else "sanitized")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("_parser.pyx", "_fields.pxi", "_chunked.pxi", "_gathered.pxi", "_masking.pxi", "_frames.pxi", "framing.py"):
        shutil.copy(PACKAGE / name, folder)
    if planted:
        name, sound, unsound, _ = PLANTS[planted]
        source = (folder / name).read_text()
        if source.count(sound) != 1:
            sys.exit("fuzz: the line in which the over-read is planted has changed; see PLANTS in fuzz/sanitized.py")
        (folder / name).write_text(source.replace(sound, unsound))
    generated, extension = folder / "_parser.c", folder / f"_parser{sysconfig.get_config_var('EXT_SUFFIX')}"
    cython = [sys.executable, "-m", "cython", "-3", "--module-name", "aioreq._parser", "_parser.pyx"]
    subprocess.run(cython, cwd=folder, check=True)
    include = sysconfig.get_path("include")
    subprocess.run([compiler(), "-shared", "-fPIC", *SANITIZE, f"-I{include}", str(generated), "-o", str(extension)], check=True)
    return extension


def compiler() -> str:
    found = shutil.which(os.environ.get("CC", "gcc"))
    if found is None:
        sys.exit("fuzz: gcc is needed for the compiled twin (--twin pure goes without)")
    return found


def environment() -> dict[str, str]:
    """What a Python has to run in, so that the sanitizers see every allocation from its start on."""
    runtime = subprocess.run([compiler(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(runtime):
        sys.exit("fuzz: the compiler comes without libasan")
    return os.environ | {
        "LD_PRELOAD": runtime,
        "PYTHONMALLOC": "malloc",  # Python's own allocator would hide the ends of objects
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:exitcode=86",
        "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=86",
    }
