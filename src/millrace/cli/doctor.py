"""`millrace doctor`: what Millrace finds on this machine, and whether it computes there what it should."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from millrace.doctor import examination
from millrace.doctor.finding import ERROR
from millrace.doctor.reading import surroundings
from millrace.doctor.report import LANGUAGES, looked_at, report
from millrace.engines import machine
from millrace.ir.errors import ArgumentError, one_of

SHOWN = 20  # differences that are listed one by one


def examine(verify: bool, language: str = "en") -> bool:
    """Print what is wrong, then what is here; whether nothing is wrong, and with `verify` all results were right.

    Raises ArgumentError for a language that there is not.
    """
    if language not in LANGUAGES:
        raise one_of("lang", language, list(LANGUAGES))
    set_by_user = machine.settings()  # before the compiler is loaded, which sets some for itself
    here = surroundings()
    found = examination.examine(here)
    print(report(found, language), flush=True)
    well = not any(one.level == ERROR for one in found)
    broken = any(one.level == ERROR and one.subject for one in found)
    if not broken and importable("rich"):  # a package that is broken may end this process when it is imported
        from rich.console import Console

        console = Console(highlight=False, markup=False, soft_wrap=False)
        console.print()
        for name, value in facts(set_by_user):
            print_fact(console, name, value)
        return verified(console) and well if verify else well
    print("\n" + looked_at(here, language))
    return well


def engine_named(name: str) -> Any:
    """An engine; imported here, so that the doctor speaks where NumPy is what is broken."""
    from millrace.engines.function import engine_named as named

    return named(name)


def importable(module: str) -> bool:
    """Whether a module can be imported; why not is among what was found."""
    try:
        import_module(module)
    except Exception:
        return False
    return True


def facts(set_by_user: dict[str, str]) -> list[tuple[str, str]]:
    """What is found, a name and a value a line."""
    versions = machine.versions()
    memory = machine.memory()
    found = [
        ("versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
        ("platform", platform.platform()),
        ("processor", machine.processor()),
        ("cores", f"{machine.cores()} that this process may use, {os.cpu_count()} in the machine"),
        ("memory", f"{memory:.1f} GiB" if memory else "unknown"),
    ]
    try:
        engine = engine_named("xla")
    except ArgumentError as error:
        return [*found, ("engine", f"numpy alone: {error}"), *told(set_by_user)]
    from millrace.engines.compiler import cache_directory
    from millrace.engines.xla import ALLOCATOR, jax

    devices = [device.device_kind for device in jax.devices()]
    named = ", ".join(f"{devices.count(kind)} {kind}" for kind in dict.fromkeys(devices) if kind != engine.platform)
    found += [
        ("engine", f"xla on {engine.platform}" + (f": {named}" if named else "")),
        ("YNNPACK", ynnpack(engine.platform, versions["jaxlib"])),
        ("allocator", ALLOCATOR.removeprefix("allocator ")),
        ("cache", cache(getattr(jax.config, "jax_compilation_cache_dir", None), cache_directory())),
    ]
    return [*found, *told(set_by_user)]


def ynnpack(backend: str, jaxlib: str) -> str:
    """Whether jaxlib's library of fast kernels computes rightly, and whether it is used."""
    if backend != "cpu":
        return f"not used on {backend}"
    from millrace.engines.plan import UNSAFE_YNNPACK

    if jaxlib in UNSAFE_YNNPACK:
        return f"UNSAFE in jaxlib {jaxlib}, so it is never used. Install another jaxlib: what it sped up is slower now."
    return f"no fault known in jaxlib {jaxlib}; in use where it is fast (`millrace explain --plan MODEL` says where)"


def cache(in_use: str | None, ours: Path) -> str:
    """Where compiled programs are kept between runs."""
    if not in_use:
        return f"none: {ours} cannot be written, so every run compiles anew. MILLRACE_CACHE names another directory."
    kept = machine.kept(Path(in_use))
    size = f"{kept.size / 2**20:.1f} MiB in {kept.files} files"
    whose = "" if kept.path == ours else ", chosen by JAX's own setting"
    return f"{kept.path}: {size}, {'writable' if kept.writable else 'NOT writable'}{whose}"


def told(settings: dict[str, str]) -> list[tuple[str, str]]:
    """What the environment says, or that it says nothing."""
    if not settings:
        return [("settings", "none of JAX, XLA, the allocator or Millrace in the environment")]
    return [("settings" if not n else "", f"{name}={value}") for n, (name, value) in enumerate(settings.items())]


def print_fact(console: Any, name: str, value: str) -> None:
    """A name, and its value beside it however many lines that takes."""
    from rich.table import Table

    line = Table.grid(padding=(0, 2))
    line.add_column(min_width=10, no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(name, value)
    console.print(line)


def verified(console: Any) -> bool:
    """Run every operation's samples through both engines, print where they differ, and say whether none does."""
    from rich.progress import track

    import millrace.layers  # noqa: F401  brings the whole vocabulary
    from millrace.engines.verify import Examined, operations, verify

    engine_named("xla")  # says what is missing
    started, done = time.perf_counter(), list[Examined]()
    ops = operations()
    console.print(f"\nBoth engines on the samples of {len(ops)} operations (half a minute the first time)")
    for examined in track(verify(ops), "comparing", total=len(ops), console=console, transient=True):
        done.append(examined)
        for difference in examined.differences:
            if sum(len(one.differences) for one in done) <= SHOWN:
                console.print(f"DIFFERENT: {difference}")
    return summed_up(console, done, time.perf_counter() - started)


def summed_up(console: Any, done: Sequence[Any], seconds: float) -> bool:
    """The last lines: how much was compared, and the operations that differ."""
    from millrace.ir.types import DTYPES

    compared = sum(one.compared for one in done)
    dtypes = set().union(*(one.dtypes for one in done)) if done else set()
    wrong = [one for one in done if one.differences]
    seen = ", ".join(name for name in DTYPES if name in dtypes)
    console.print(f"{compared:,} results of {len(done)} operations compared in {seconds:.0f} s ({seen}).")
    if not wrong:
        console.print("Both engines agree on all of them.")
        return True
    console.print(
        f"{sum(len(one.differences) for one in wrong)} DIFFER, of {', '.join(one.op for one in wrong)}: do not trust "
        "the compiled results of these on this machine. `--engine numpy` computes without the compiler; please report "
        "it with the lines above."
    )
    return False
