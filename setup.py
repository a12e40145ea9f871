"""Builds aioreq._parser, the compiled parser; everything else about the package is in pyproject.toml.

The environment variable AIOREQ_EXTENSIONS decides:
  required  the build fails where the parser doesn't compile (what released wheels are built with)
  off       nothing is compiled: a pure wheel
  auto      the default: tries, and where that fails says so and goes on to a wheel that is tagged pure
"""

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

MODE = os.environ.get("AIOREQ_EXTENSIONS", "") or "auto"
if MODE not in ("required", "off", "auto"):
    sys.exit(f"AIOREQ_EXTENSIONS={MODE!r}: must be required, off or auto")


class BuildParser(build_ext):
    def run(self) -> None:
        folders = [self.build_lib, "."] if self.inplace else [self.build_lib]
        try:
            super().run()
        except Exception as error:
            if MODE == "required":
                print(f"\nAIOREQ_EXTENSIONS=required, but aioreq._parser did not compile: {error}\n", file=sys.stderr)
                raise
            print(f"\naioreq._parser did not compile ({error}): going on with the pure Python parser, which is slower.", file=sys.stderr)
            print("A C compiler and Cython are needed; AIOREQ_EXTENSIONS=required makes this an error.\n", file=sys.stderr)
            for extension in self.extensions:  # what an earlier build left must not pass for this one
                for folder in folders:
                    Path(folder, self.get_ext_filename(extension.name)).unlink(missing_ok=True)
            self.extensions = self.distribution.ext_modules = []

    def build_extension(self, ext: Extension) -> None:
        from Cython.Build import cythonize  # here, so that a machine without Cython takes the way above

        # The generated C goes where the object files go; the source tree stays as it was.
        ext.sources = cythonize([ext], build_dir=self.build_temp, force=self.force)[0].sources
        super().build_extension(ext)


class TaggedWheel(bdist_wheel):
    def run(self) -> None:
        self.run_command("build_ext")  # before all else: whether the parser compiled decides the tag
        self.root_is_pure = not self.distribution.has_ext_modules()
        super().run()


setup(
    ext_modules=[] if MODE == "off" else [Extension("aioreq._parser", ["aioreq/_parser.pyx"])],
    cmdclass={"build_ext": BuildParser, "bdist_wheel": TaggedWheel},
)
