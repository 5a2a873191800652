"""What the doctor says in a sentence or two, where an import has failed in this very process.

Files of the user's may have taken the place of modules that the doctor needs, too: while it looks, Python's own are put
in their places. So this file imports at its head only what every Python has loaded before.
"""

from __future__ import annotations

import os
import sys


def advice(error: BaseException, package: str = "jax") -> str:
    """Why an import failed, and the command that mends it.

    package: what was to be imported, where the error does not say it.
    """
    path, library = list(sys.path), os.path.dirname(os.__file__)
    alien = {name: module for name, module in list(sys.modules.items()) if _alien(name, module, library)}
    for name in alien:
        del sys.modules[name]
    if library in path:
        sys.path[:] = path[path.index(library) :]
    try:
        from millrace.doctor.likely import likely
        from millrace.doctor.report import said

        finding = likely(error, package, path, alien)
        commands = " and then ".join(f"`{command}`" for command in finding.mend[:3])
        return said(finding) + (f" To mend it: {commands}." if commands else "")
    except Exception:  # what is broken is something that the doctor needs
        return f"{type(error).__name__}: {error}. `python -m millrace doctor` looks for the cause."
    finally:
        sys.path[:] = path
        sys.modules.update(alien)


def _alien(name: str, module: object, library: str) -> bool:
    """Whether a module has the name of one of Python's own and is none."""
    file = str(getattr(module, "__file__", None) or "")
    own = name.split(".")[0] in getattr(sys, "stdlib_module_names", ())
    return own and bool(file) and name != "__main__" and "site-packages" not in file and not _within(file, library)


def _within(file: str, library: str) -> bool:
    return os.path.realpath(file).startswith(os.path.realpath(library) + os.sep)


def foreign(error: BaseException) -> bool:
    """Whether an error comes from a package that Millrace needs, and is no fault of Millrace itself."""
    named = (getattr(error, "name", None) or "").split(".")[0]
    if isinstance(error, ImportError) and named:
        return named != "millrace"
    trace, last = error.__traceback__, ""
    while trace is not None:
        last = str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0]
        trace = trace.tb_next
    return last != "millrace" and not isinstance(error, (KeyboardInterrupt, SystemExit))
