"""Scratch environments, in which tests make faults."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field, replace
from pathlib import Path

from millrace.doctor.examination import examine
from millrace.doctor.reading import surroundings
from millrace.doctor.report import report
from millrace.doctor.trying import trial

SOURCE = Path(__file__).parents[2] / "src"
REAL = Path(sysconfig.get_path("purelib"))
ALIEN = ("COLUMNS", "PYTHONPATH", "JAX_", "XLA_", "MILLRACE_", "OMP_", "CUDA_", "LD_LIBRARY_PATH", "TF_")
LIGHT = {"jax": "import jaxlib\ndef devices(): return ()\n", "ml_dtypes": "import numpy\n", "jaxlib": "import numpy\n"}
WANTS = {"jax": ["jaxlib<=0.10.1,>=0.10.1", "ml_dtypes>=0.5.0", "numpy>=2.0", "opt_einsum", "scipy>=1.14"]}
VERSIONS = {
    "numpy": "2.4.6", "ml_dtypes": "0.6.0", "jax": "0.10.1", "jaxlib": "0.10.1", "scipy": "1.17.1",
    "opt_einsum": "3.4.0", "safetensors": "0.8.0", "rich": "15.0.0", "cyclopts": "5.4.0", "jinja2": "3.1.6",
    "latex2mathml": "3.81.1", "pillow": "13.0.0", "simplejpeg": "1.9.0", "cykooz-resizer": "4.0.1",
    "scikit-learn": "1.9.1", "tensorboardX": "2.6.5", "onnx": "1.23.2", "flatbuffers": "25.12.19",
    "starlette": "1.10.0", "uvicorn": "0.54.0", "prometheus-client": "0.26.0",
}  # fmt: skip


@dataclass
class Said:
    """What a command printed, and its exit code."""

    out: str
    err: str
    code: int

    def __contains__(self, words):
        """Whether these words were printed, on however many lines."""
        return "".join(words.split()) in "".join(self.out.replace("\\\n", "").split())


@dataclass
class Scratch:
    """A virtual environment without pip, in which Millrace lies as its sources; and an empty folder to call it in."""

    root: Path
    environment: dict = field(default_factory=dict)

    @property
    def site(self):
        return next(self.root.glob("env/lib/python*/site-packages"), self.root / "env/Lib/site-packages")

    @property
    def python(self):
        return self.root / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def here(self):
        return self.root / "here"

    def fill(self):
        """All that is installed where the tests run, as links: what a test puts in its place is the only fault."""
        for entry in REAL.iterdir():
            if entry.name != "uv" and not entry.name.startswith(("__pycache__", "_editable", "millrace", "pip", "uv-")):
                (self.site / entry.name).symlink_to(entry)
        return self

    def pretend(self):
        """All that is needed, as packages that do nothing."""
        for name, version in VERSIONS.items():
            self.package(name, version, LIGHT.get(name, ""), requires=WANTS.get(name, ()))
        return self

    def remove(self, pattern):
        for entry in self.site.glob(pattern):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()

    def package(self, name, version, code=None, requires=(), installer="pip", tag="", folder=None):
        """A package with metadata and, if there is code for one, a module."""
        folder = folder or self.site
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        wants = "".join(f"Requires-Dist: {one}\n" for one in requires)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{wants}")
        (info / "INSTALLER").write_text(installer)
        if tag:
            (info / "WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")
        if code is not None:
            (folder / name).mkdir(exist_ok=True)
            (folder / name / "__init__.py").write_text(code)

    def instead(self, name, version, code=None, **others):
        """A package in the place of one that is there."""
        self.remove(name)
        self.remove(f"{name}-*.dist-info")
        self.package(name, version, code, **others)

    def run(self, *arguments, cwd=None, **environment):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ALIEN)}
        quiet = {"MILLRACE_CACHE": str(self.root / "cache"), "PATH": str(self.root / "bin"), "HOME": str(self.root)}
        done = subprocess.run(
            [self.python, *arguments], cwd=cwd or self.here, capture_output=True, text=True, encoding="utf-8",
            env={**kept, **quiet, **self.environment, **environment},
        )  # fmt: skip
        return Said(done.stdout, done.stderr, done.returncode)

    def doctor(self, *arguments, **others):
        said = self.run("-m", "millrace", "doctor", *arguments, **others)
        assert "Traceback" not in said.out + said.err, said.err
        return said

    def examined(self):
        """What the doctor finds there when this process asks: only imports are tried in one of the environment's."""
        path = [str(self.here), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(self.site)]
        environment = {"HOME": str(self.root), "MILLRACE_CACHE": str(self.root / "cache")}
        found = examine(
            replace(
                surroundings(path), executable=str(self.python), prefix=str(self.root / "env"), environment=environment,
                directory=str(self.here), which=lambda command: None,
                trial=lambda modules: trial(str(self.python), path, modules, environment),
            )
        )  # fmt: skip
        return Said(report(found), "", int(any(one.level == "error" for one in found)))

    def command(self, name, text):
        """A program on PATH."""
        folder = self.root / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


def pythons():
    """Other Pythons of this machine, as far as they lie beside the one that the tests run on."""
    found = {}
    for place in Path(sys.base_prefix).parent.glob("*/bin/python3"):
        version = place.parents[1].name.split(".")
        if len(version) == 3 and version[0] == "3" and version[1].isdigit():
            found[int(version[1])] = place
    return found
