"""`millrace doctor`: what Millrace finds on this machine, and whether it computes there what it should."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from millrace.doctor import examination
from millrace.doctor.english import FACTS
from millrace.doctor.finding import ERROR
from millrace.doctor.reading import surroundings
from millrace.doctor.report import LANGUAGES, columns_of, looked_at, report
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
        say = LANGUAGES[language].FACTS
        found_here = facts(set_by_user, say)
        column = max(columns_of(name) for name, _ in found_here)
        for name, value in found_here:
            print_fact(console, name, value, max(10, column))
        return verified(console, say) and well if verify else well
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


def facts(set_by_user: dict[str, str], say: Mapping[str, str]) -> list[tuple[str, str]]:
    """What is found, a name and a value a line, in the words of a language."""
    versions = machine.versions()
    memory = machine.memory()
    found = [
        (say["versions"], say["comma"].join(f"{name} {number}" for name, number in versions.items())),
        (say["platform"], platform.platform()),
        (say["processor"], machine.processor()),
        (say["cores"], say["counted"].format(usable=machine.cores(), all=os.cpu_count())),
        (say["memory"], f"{memory:.1f} GiB" if memory else say["unknown"]),
    ]
    try:
        engine = engine_named("xla")
    except ArgumentError as error:
        return [*found, (say["engine"], say["numpy-alone"].format(why=error)), *told(set_by_user, say)]
    from millrace.engines.compiler import cache_directory
    from millrace.engines.xla import ALLOCATOR, jax

    devices = [device.device_kind for device in jax.devices()]
    named = say["comma"].join(
        f"{devices.count(kind)} {kind}" for kind in dict.fromkeys(devices) if kind != engine.platform
    )
    found += [
        (say["engine"], say["xla-named" if named else "xla"].format(platform=engine.platform, devices=named)),
        (say["ynnpack"], ynnpack(engine.platform, versions["jaxlib"], say)),
        (say["routines"], routines(engine.platform, say)),
        (say["allocator"], allocator(ALLOCATOR, say)),
        (say["cache"], cache(getattr(jax.config, "jax_compilation_cache_dir", None), cache_directory(), say)),
    ]
    return [*found, *told(set_by_user, say)]


def ynnpack(backend: str, jaxlib: str, say: Mapping[str, str] = FACTS) -> str:
    """Whether jaxlib's library of fast kernels computes rightly, and whether it is used."""
    if backend != "cpu":
        return say["ynnpack-elsewhere"].format(platform=backend)
    from millrace.engines.plan import UNSAFE_YNNPACK

    return say["ynnpack-unsafe" if jaxlib in UNSAFE_YNNPACK else "ynnpack-fine"].format(version=jaxlib)


def routines(backend: str, say: Mapping[str, str] = FACTS) -> str:
    """Which of Millrace's own routines are used, or why none are and how to mend that."""
    if backend != "cpu":
        return say["routines-elsewhere"].format(platform=backend)
    if machine.routines() != "none":
        return say["routines-used"].format(kind=machine.routines())
    why, about, script = machine.no_routines()
    compiler = "xcode-select --install" if platform.system() == "Darwin" else "apt-get install gcc"
    build = shlex.join([sys.executable, script])
    return say[f"routines-{why}"].format(about=about, compiler=compiler, build=build)


def cache(in_use: str | None, ours: Path, say: Mapping[str, str] = FACTS) -> str:
    """Where compiled programs are kept between runs."""
    if not in_use:
        return say["cache-none"].format(folder=ours)
    kept = machine.kept(Path(in_use))
    line = say["cache-kept" if kept.writable else "cache-fixed"]
    line = line.format(folder=kept.path, size=f"{kept.size / 2**20:.1f} MiB", files=kept.files)
    return line if kept.path == ours else line + say["cache-of-jax"]


def allocator(said: str, say: Mapping[str, str] = FACTS) -> str:
    """What was done about the C library's allocator, which says it in English for reports."""
    if "keeps" in said:
        return say["allocator-keeps"]
    return say["allocator-left"].format(why=said.partition("as it was")[2].lstrip(",: "))


def told(settings: dict[str, str], say: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the environment says, or that it says nothing."""
    if not settings:
        return [(say["settings"], say["none-set"])]
    return [(say["settings"] if not n else "", f"{name}={value}") for n, (name, value) in enumerate(settings.items())]


def print_fact(console: Any, name: str, value: str, column: int = 10) -> None:
    """A name in so many columns, and its value beside it however many lines that takes."""
    from rich.table import Table

    line = Table.grid(padding=(0, 2))
    line.add_column(min_width=column, no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(name, value)
    console.print(line)


def verified(console: Any, say: Mapping[str, str]) -> bool:
    """Run every operation's samples through both engines, print where they differ, and say whether none does."""
    from rich.progress import track

    import millrace.layers  # noqa: F401  brings the whole vocabulary
    from millrace.engines.verify import Examined, operations, verify

    engine_named("xla")  # says what is missing
    started, done = time.perf_counter(), list[Examined]()
    ops = operations()
    console.print("\n" + say["verifying"].format(count=len(ops)))
    for examined in track(verify(ops), say["comparing"], total=len(ops), console=console, transient=True):
        done.append(examined)
        for difference in examined.differences:
            if sum(len(one.differences) for one in done) <= SHOWN:
                console.print(say["different"].format(difference=difference))
    return summed_up(console, done, time.perf_counter() - started, say)


def summed_up(console: Any, done: Sequence[Any], seconds: float, say: Mapping[str, str]) -> bool:
    """The last lines: how much was compared, and the operations that differ."""
    from millrace.ir.types import DTYPES

    compared = sum(one.compared for one in done)
    dtypes = set().union(*(one.dtypes for one in done)) if done else set()
    wrong = [one for one in done if one.differences]
    seen = say["comma"].join(name for name in DTYPES if name in dtypes)
    counts = {"results": f"{compared:,}", "count": len(done), "seconds": f"{seconds:.0f}", "dtypes": seen}
    console.print(say["compared"].format(**counts))
    if not wrong:
        console.print(say["agree"])
        return True
    count, names = sum(len(one.differences) for one in wrong), say["comma"].join(one.op for one in wrong)
    console.print(say["differ"].format(count=count, names=names))
    return False
