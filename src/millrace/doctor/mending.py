"""The commands that mend what was found, as they are typed here: pip, uv or conda, this shell, this Python."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from pathlib import Path

from millrace.doctor.installed import Installed, first
from millrace.doctor.needed import COMPILER, NEEDED, named
from millrace.doctor.surroundings import Surroundings

PYTHON = "3.13"  # what is asked for where another Python is needed


def quoted(here: Surroundings, word: str) -> str:
    """A word as the shell takes it whole."""
    plain = all(letter.isalnum() or letter in "_-./:=+,@~" for letter in word)
    if plain or (here.windows and all(letter.isalnum() or letter in "_-./:=+,@~\\" for letter in word)):
        return word
    if here.windows or not (set('"$`\\') & set(word) or "!" in word.replace("!=", "")):
        return f'"{word}"'
    return shlex.quote(word)


def shown(here: Surroundings, path: str) -> str:
    """A path as it is said and typed in this folder: what lies in it by its name alone."""
    inside = here.directory and path.startswith(here.directory.rstrip("/\\") + os.sep)
    return os.path.relpath(path, here.directory) if inside else path


def python(here: Surroundings) -> str:
    """How this very Python is called here: `python` where that is the one, else its path."""
    for name in ("python", "python3"):
        found = here.which(name)
        if found and os.path.normcase(os.path.abspath(found)) == os.path.normcase(here.executable):
            return name
    called = quoted(here, shown(here, here.executable) or "python")
    return f"& {called}" if here.windows and called.startswith('"') else called


def has_pip(here: Surroundings) -> bool:
    return first(here, "pip") is not None


def by_uv(here: Surroundings) -> bool:
    """Whether uv made this environment, or can serve one that has no pip."""
    made = False
    with suppress(OSError, UnicodeDecodeError):
        made = "\nuv = " in "\n" + Path(here.prefix, "pyvenv.cfg").read_text(encoding="utf-8")
    return here.which("uv") is not None and (made or not has_pip(here))


def conda(here: Surroundings) -> bool:
    return os.path.isdir(os.path.join(here.prefix, "conda-meta"))


def managed_by_system(here: Surroundings) -> bool:
    """Whether the system forbids pip to change this Python."""
    return not here.virtual and bool(here.library) and os.path.exists(os.path.join(here.library, "EXTERNALLY-MANAGED"))


def install(here: Surroundings, *requirements: str, options: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The commands that install packages for this Python."""
    words = [*(one if one.startswith("-e ") else quoted(here, one) for one in requirements), *options]
    if managed_by_system(here):
        return (*fresh_environment(here), " ".join([environment_python(here), "-m pip install", *words]))
    if by_uv(here):
        words = ["--reinstall" if word == "--force-reinstall" else word for word in words]
        return (" ".join(["uv pip install", *words, "--python", quoted(here, here.executable)]),)
    pip = () if has_pip(here) else (f"{python(here)} -m ensurepip --upgrade",)
    return (*pip, " ".join([python(here), "-m pip install", *words]))


def uninstall(here: Surroundings, name: str) -> str:
    """The command that removes the installation of a package that comes first."""
    if by_uv(here):
        return f"uv pip uninstall --python {quoted(here, here.executable)} {name}"
    return f"{python(here)} -m pip uninstall -y {name}"


def replace(here: Surroundings, *requirements: str) -> tuple[str, ...]:
    """The commands that install packages anew, by whoever installed them before."""
    by_conda = [one for one in requirements if _installer(here, one) == "conda"]
    if by_conda and conda(here):
        names = " ".join(quoted(here, one) for one in requirements)
        return (f"conda install -p {quoted(here, here.prefix)} -c conda-forge --force-reinstall {names}",)
    return install(here, *requirements, options=("--force-reinstall", "--no-deps"))


def needed(here: Surroundings, *names: str) -> tuple[str, ...]:
    """The commands that install needed packages in the versions that Millrace wants."""
    return install(here, *(str(named(name) or name) for name in names))


def checkout() -> str:
    """The folder of Millrace's own sources, if this Millrace runs from one; else ""."""
    root = Path(__file__).resolve().parents[3]
    return str(root) if (root / "pyproject.toml").is_file() and (root / "src" / "millrace").is_dir() else ""


def fresh_environment(here: Surroundings, called: str = "") -> tuple[str, ...]:
    """The commands that make a virtual environment beside what is there: the last resort, which always works."""
    maker = called or ("py" if here.windows else "python3")
    return (f"{maker} -m venv .venv",)


def environment_python(here: Surroundings) -> str:
    return ".venv\\Scripts\\python" if here.windows else ".venv/bin/python"


def millrace_itself(here: Surroundings) -> str:
    """What pip is told to install Millrace with all that it needs."""
    return f"-e {quoted(here, checkout())}" if checkout() else "millrace"


def interpreter(here: Surroundings) -> tuple[str, ...]:
    """How Millrace is used where there is no JAX; installed without it, if it is not installed yet."""
    if first(here, "numpy"):
        return ("millrace train --engine numpy",)
    return (
        *install(here, *(str(one) for one in NEEDED if one.stops != COMPILER)),
        *install(here, millrace_itself(here), options=("--no-deps",))[-1:],
    )


def another_python(here: Surroundings) -> tuple[str, ...]:
    """The commands that bring a Python that Millrace runs on, and put Millrace into an environment of its own."""
    fill = f"{environment_python(here)} -m pip install {millrace_itself(here)}"
    if here.suitable():
        return (*fresh_environment(here, here.suitable()), fill)
    if conda(here):
        return (
            f"conda create -n millrace -c conda-forge python={PYTHON} pip",
            f"conda run -n millrace python -m pip install {millrace_itself(here)}",
        )
    if here.windows:
        bring = f"winget install --id Python.Python.{PYTHON} --architecture x64"
        return (bring, *fresh_environment(here, f"py -{PYTHON}"), fill)
    if here.which("brew"):
        return (f"brew install python@{PYTHON}", *fresh_environment(here, f"python{PYTHON}"), fill)
    before, uv = uv_command(here)
    made = f"{uv} venv --python {PYTHON} .venv"
    return (*before, made, f"{uv} pip install --python .venv {millrace_itself(here)}")


def uv_command(here: Surroundings) -> tuple[tuple[str, ...], str]:
    """How uv is called, which brings a Python of any version without changing the system; and how it comes here."""
    if here.which("uv"):
        return (), "uv"
    if managed_by_system(here):
        return ("python3 -m venv .uv", ".uv/bin/python -m pip install uv"), ".uv/bin/uv"
    pip = () if has_pip(here) else (f"{python(here)} -m ensurepip --upgrade",)
    return (*pip, f"{python(here)} -m pip install uv"), f"{python(here)} -m uv"


def set_variable(here: Surroundings, name: str, value: str) -> str:
    """The command that sets an environment variable in this terminal."""
    if here.windows:
        return f'$env:{name} = "{value}"'
    return f"export {name}={quoted(here, value)}"


def unset_variable(here: Surroundings, name: str) -> str:
    """The command that takes an environment variable away in this terminal."""
    return f"Remove-Item Env:{name}" if here.windows else f"unset {name}"


def rename(here: Surroundings, old: str, new: str) -> str:
    return f"{'ren' if here.windows else 'mv'} {quoted(here, old)} {quoted(here, new)}"


def _installer(here: Surroundings, requirement: str) -> str:
    name = requirement.split("=")[0].rstrip("<>!~")
    found: Installed | None = first(here, name)
    return found.installer if found else ""
