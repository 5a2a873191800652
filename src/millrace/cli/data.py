"""`millrace data`: pack pictures, show what a source holds, and compute the statistics of its pictures."""

from __future__ import annotations

import io
import statistics
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from millrace.cli.bar import Bar, printable
from millrace.cli.options import Whole
from millrace.cli.paragraphs import adding
from millrace.ir.errors import ArgumentError, FileError

if TYPE_CHECKING:
    from millrace.data.survey import Survey

FEW = 20  # classes that are listed one by one
EXTREMES = 5  # of more classes, how many of the largest and of the smallest are listed
LISTED, ALIKE = 10, 3  # broken records, and groups of duplicates, that are listed; records of such a group
BAR, WIDTH = 24, 80  # columns of the longest bar, and of a line

app = App(name="data", help="Pack, show and measure what a network is to learn from.", help_format="plaintext")
command = adding(app)


@command
def pack(
    folder: str, out: Path, *, resize: Whole | None = None, quality: Whole = 95, workers: Whole | None = None
) -> None:
    """Pack a folder of pictures into a few large files, which are read faster and checked.

    Parameters
    ----------
    folder
        A folder with a folder of pictures for each class, or with pictures; or a data set of pictures by name, such
        as imagenette/train.
    out
        A new folder. Where the same command was stopped, it goes on there.
    resize
        Scale each picture, up or down, so that its shorter side has so many pixels; without it the files stay as they
        are.
    quality
        Of the scaled pictures as JPEG, 1 to 100.
    workers
        Threads; one for each processor unless given. The files are the same for any number.
    """
    from millrace.data.image_folder import ImageFolder
    from millrace.data.opening import open_source
    from millrace.data.packing import pack as packed

    source = open_source(folder)
    if not isinstance(source, ImageFolder):
        raise FileError(f"{folder} is no folder of pictures: only such a folder can be packed.")
    for note in source.notes:
        say(f"Note: {note}")
    with Bar("pictures") as bar:
        try:
            made = packed(source, out, resize, quality, workers, bar.reach)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped after {bar.done:,} of {source.count:,} pictures. The same command goes on there."
            ) from None
    how = "as they were" if made.resize is None else f"shorter side {made.resize} pixels, quality {made.quality}"
    print(f"{out}: {made.count:,} of {source.count:,} pictures in {amount(made.bytes)}, {how}.")
    listed(made.broken, "left out", "pack.json has them all")


@command
def show(
    source: str,
    *,
    sheet: Path | None = None,
    quick: Annotated[bool, Parameter(negative=())] = False,
    workers: Whole | None = None,
) -> None:
    """Say what a source holds: counts, classes, shapes, what is broken, what is there twice.

    Parameters
    ----------
    source
        A data set by name, such as mnist or imagenette/val, or a path: a folder of pictures, a packed one, or a file
        (.csv, .npy, .npz, idx, CIFAR's .bin, .txt).
    sheet
        Draw some records of each class into this PNG file.
    quick
        Look at 500 records alone, spread evenly, and for no duplicates.
    workers
        Threads; one for each processor unless given.
    """
    from millrace.data.opening import open_source
    from millrace.data.survey import survey

    opened = open_source(source)
    drawn = None if sheet is None else _drawn(opened, sheet)
    with Bar("records") as bar:
        try:
            found = survey(opened, quick, workers, lambda done, total: bar.reach("reading", done, total))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped after {bar.done:,} of {bar.total:,} records. With --quick it takes a moment."
            ) from None
    for line in told(found, opened.record):
        say(line)
    if drawn is not None:
        print(f"Contact sheet: {drawn}")


@command
def stats(source: str, *, out: Path, size: Whole | None = None, workers: Whole | None = None) -> None:
    """Compute means, deviations and principal colours of all pictures, and write them into a .npz file.

    Parameters
    ----------
    source
        A data set by name, or a path, as `millrace data show` takes it.
    out
        The file: mean, std [channels], mean_image [height, width, channels], covariance, eigenvalues, eigenvectors
        of the channels, and the count.
    size
        Height and width to which picture files are scaled and cut; arrays keep theirs.
    workers
        Threads; one for each processor unless given. The numbers are the same for any.
    """
    from millrace.data.opening import open_source
    from millrace.data.stats import pixel_stats
    from millrace.training.checkpoint import write_whole

    _check_ending(out, ".npz", "--out")
    opened = open_source(source)
    if size is None and not opened.elements[0].is_concrete:
        raise ArgumentError(f"{source} holds picture files of many sizes: say with --size to which to scale them.")
    with Bar("pictures") as bar:
        try:
            made = pixel_stats(opened, size, workers, lambda done, total: bar.reach("reading", done, total))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped after {bar.done:,} of {bar.total:,} pictures; nothing was written. Give the command again."
            ) from None
    write_whole(out, made.content())
    print(f"pictures      {made.count:,} of {opened.count:,}, each {' x '.join(map(str, made.mean_image.shape))}")
    for name in ("mean", "std", "eigenvalues"):
        print(f"{name:<12}  {numbers(getattr(made, name))}")
    for n, vector in enumerate(made.eigenvectors.T):
        print(f"{'eigenvectors' if not n else '':<12}  {numbers(vector)}")
    listed(made.broken, "left out", "")
    print(f"Written: {out}")


@command
def sort_val(folder: Path, labels: Path) -> None:
    """Sort ImageNet's validation pictures, which are given out in one folder, into a folder for each class.

    Parameters
    ----------
    folder
        The folder with ILSVRC2012_val_00000001.JPEG and so on, which are moved into folders within it. Where the same
        command was stopped, it goes on.
    labels
        The unpacked folder ILSVRC2012_devkit_t12, LOC_val_solution.csv of Kaggle, or a text with a picture's name and
        its class's in each line.
    """
    from millrace.data.sorting import sort_pictures, validation_labels

    classes = validation_labels(labels)
    with Bar("pictures") as bar:
        made = sort_pictures(folder, classes, lambda done, total: bar.reach("moving", done, total))
    there = f" {made.already:,} were there already." if made.already else ""
    say(f"{folder}: {made.moved:,} pictures moved into {len(set(classes.values())):,} folders of classes.{there}")
    if made.lacking:
        say(f"Note: {len(made.lacking):,} pictures that have a label are not there, such as {made.lacking[0]}.")


def told(found: Survey, record: Callable[[int], str]) -> Iterator[str]:
    """What was found, line by line."""
    yield f"{found.name}: {found.count:,} records of ({', '.join(map(str, found.elements))})"
    if found.examined < found.count:
        yield f"A quick look: what follows is of {found.examined:,} of them, but for the classes."
    yield from _classes(found)
    if found.shapes is not None:
        sizes = [f"{height} x {width}" for height, width in vars(found.shapes).values()]
        yield f"height x width  smallest {sizes[0]}, median {sizes[1]}, largest {sizes[2]}"
    for one in found.values:
        nan = f", NaN {one.nan:.2%}" if one.nan else ""
        yield f"values          {one.element}: {one.low:g} to {one.high:g}, mean {one.mean:.6g}{nan}"
    yield f"size            {amount(found.size)}, {amount(found.size / max(found.examined, 1))} a record"
    if found.passed_over:
        yield f"passed over     {found.passed_over:,} other files"
    yield f"broken          {len(found.broken):,}"
    yield from _listed([f"{name}: {why}" for name, why in found.broken.items()])
    if found.examined == found.count:
        yield from _duplicates(found, record)
    yield from (f"Note: {note}" for note in found.notes)


def _duplicates(found: Survey, record: Callable[[int], str]) -> Iterator[str]:
    """How many records are there more than once; the worst first, which have different classes."""
    again = sum(len(group) - 1 for group in found.duplicates)
    across = f", of which {len(found.across):,} across classes" if found.across else ""
    yield f"duplicates      {again:,}" + (f", in {len(found.duplicates):,} groups{across}" if again else "")
    worst = set(found.across)
    first = [*found.across, *(group for group in found.duplicates if group not in worst)]
    more = [f" = ... ({len(group):,} in all)" if len(group) > ALIKE else "" for group in first]
    yield from _listed([" = ".join(map(record, group[:ALIKE])) + rest for group, rest in zip(first, more, strict=True)])


def _classes(found: Survey) -> Iterator[str]:
    """How many records each class has: all of them, or the extremes."""
    if not found.balance:
        return
    most = max(found.balance)
    name_width = min(max(map(len, found.classes)), 32)
    low, middle = min(found.balance), statistics.median_low(found.balance)
    each = f"{most:,} records each" if low == most else f"{low:,} to {most:,} records each, median {middle:,}"
    yield f"classes         {len(found.balance):,}, {each}"

    def line(n: int) -> str:
        count = found.balance[n]
        bar = "█" * round(BAR * count / max(most, 1))
        return f"  {found.classes[n][:name_width]:<{name_width}}  {count:>9,}  {bar}".rstrip()

    if len(found.balance) <= FEW:
        yield from map(line, range(len(found.balance)))
        return
    order = sorted(range(len(found.balance)), key=lambda n: (-found.balance[n], n))
    yield from map(line, order[:EXTREMES])
    yield f"  ... {len(order) - 2 * EXTREMES:,} more ..."
    yield from map(line, order[-EXTREMES:])


def say(line: str) -> None:
    """Print a line, broken up where it is too long, and what follows moved in."""
    whole = printable(line)
    print("\n".join(textwrap.wrap(whole, WIDTH, subsequent_indent="    ", drop_whitespace=False)) or whole)


def _listed(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:LISTED])
    if len(lines) > LISTED:
        yield f"  ... and {len(lines) - LISTED:,} more"


def listed(broken: Any, what: str, where: str) -> None:
    """Print which records were left out, and why."""
    if broken:
        print(f"{len(broken):,} {what}{f' ({where})' if where and len(broken) > LISTED else ''}:")
        for line in _listed([f"{name}: {why}" for name, why in broken.items()]):
            say(line)


def _drawn(source: Any, path: Path) -> Path:
    """Draw the contact sheet; before the survey, so that what cannot be drawn or written is told at once."""
    from millrace.data.sheet import contact_sheet
    from millrace.training.checkpoint import write_whole

    _check_ending(path, ".png", "--sheet")
    content = io.BytesIO()
    contact_sheet(source).save(content, "PNG")
    write_whole(path, content.getvalue())
    return path


def _check_ending(path: Path, ending: str, option: str) -> None:
    if path.suffix.lower() != ending:
        raise ArgumentError(f"{option} {path}: give a file that ends in {ending}.")
    if path.is_dir():
        raise FileError(f"{option} {path} is a folder: give a file that ends in {ending}.")


def amount(size: float) -> str:
    """A number of bytes in the unit that suits it."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def numbers(array: Any) -> str:
    return "  ".join(f"{number:10.4f}" for number in array)
