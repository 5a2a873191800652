"""Compiles the routines in C (src/millrace/native) where Millrace is installed, and puts them into its wheel.

Where that is not possible the wheel is what it would be without: Millrace works all the same, more slowly.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import sys_tags

NATIVE = Path("src", "millrace", "native")


class Routines(BuildHookInterface):
    """Built in place for an editable install, which runs there; else apart, so that sources may be read-only."""

    folder: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build = self.builder().build
        if version == "editable":
            libraries, why = build()
        else:
            self.folder = Path(tempfile.mkdtemp(prefix="millrace-native-"))
            libraries, why = build(self.folder)
            build_data["force_include"].update({str(path): f"millrace/native/built/{path.name}" for path in libraries})
            if libraries:
                build_data["pure_python"] = False
                build_data["tag"] = f"py3-none-{platform_tag()}"
        if why:
            some = "Some routines" if libraries else "Routines"
            said = " ".join(why.split())[:400]  # a compiler's complaints have many lines
            self.app.display_warning(f"{some} in C were not built: {said}. Millrace works without, more slowly.")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def builder(self) -> Any:
        """build.py as a module; by its path, as Millrace is not installed yet."""
        spec = importlib.util.spec_from_file_location("millrace_build", Path(self.root, NATIVE, "build.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def platform_tag() -> str:
    """This system, as wheels name it: linux_x86_64, macosx_14_0_arm64. What a compiler here links to is promised no
    older one, so it is none of the manylinux kind."""
    return next(tag.platform for tag in sys_tags() if "linux_" not in tag.platform or tag.platform.startswith("linux"))
