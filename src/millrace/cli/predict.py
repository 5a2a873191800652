"""`millrace predict`: what picture files show, what sentences mean, or the answers for arrays of examples."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from millrace.cli.arrays import ARRAYS, read_examples
from millrace.cli.bar import printable
from millrace.cli.data import say
from millrace.cli.using import check_writable, keep_apart, one_line, opened_to_use, recipe_of
from millrace.explain.held_out import each_class
from millrace.inference.predictor import Predictor
from millrace.ir.errors import ArgumentError, DataError, FileError
from millrace.training.checkpoint import write_whole

SHOWN = 20  # answers of an array of examples
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
NUMBERS = 4  # of an answer without classes


@dataclass(frozen=True)
class Answered:
    """An example as the user called it, and its answer: an array for each output."""

    name: str
    outputs: list[np.ndarray]


def predict_examples(path: Path, given: Sequence[str], engine: str | None, out: Path | None = None) -> None:
    """Print a table of answers, or write them; raise FileError at the end if something could not be read."""
    predictor = opened_to_use(path, engine)
    if out is not None:
        check_place(out, predictor)
        check_writable(out)
        keep_apart(out, path, *(Path(text) for text in given if is_array(text)))
    if recipe_of(predictor) is None or recipe_of(predictor).example is None:  # type: ignore[union-attr]
        strange = [text for text in given if not is_array(text)]
        if strange:
            raise ArgumentError(not_taken(path, predictor))
    answered: list[Answered] = []
    failures: list[str] = []
    for names, examples, label in batches(predictor, given, failures):
        try:
            made = predictor.predict(examples if len(examples) > 1 else examples[0])
        except DataError as error:
            failures.append(f"{label}: {one_line(error)}" if label else one_line(error))
            continue
        outputs = made if isinstance(made, list) else [made]
        answered += [Answered(name, [array[n] for array in outputs]) for n, name in enumerate(names)]
    if answered and (out is None or failures):
        show(predictor, answered)
    if failures:
        left = f"\nmillrace: {out} was not written." if out is not None else ""
        raise FileError("\nmillrace: ".join(failures) + left)
    if out is not None:
        write(out, predictor, answered)


Batch = tuple[list[str], list[np.ndarray], str]  # what the examples are called, the inputs' arrays, the file


def batches(predictor: Predictor, given: Sequence[str], failures: list[str]) -> Iterator[Batch]:
    """The examples of the arguments in their order: pictures and sentences together, each array by itself."""
    singles: list[tuple[str, np.ndarray]] = []
    for text in [*given, ""]:
        if singles and (text == "" or is_array(text)):
            yield [name for name, _ in singles], [np.stack([example for _, example in singles])], ""
            singles = []
        if text == "":
            continue
        try:
            if is_array(text):
                arrays = read_examples(Path(text), predictor)
                count = len(arrays[0])
                yield [f"{text}[{n}]" if count > 1 else text for n in range(count)], arrays, text
            else:
                recipe = recipe_of(predictor)
                assert recipe is not None and recipe.example is not None
                check_kind(text, predictor)
                singles.append((text, recipe.example(text, predictor.about.vocabulary)))
        except (FileError, DataError) as error:
            failures.append(str(error))


def check_kind(text: str, predictor: Predictor) -> None:
    """Raise FileError for a name of no file where pictures are taken, and for a picture where sentences are."""
    if not predictor.about.vocabulary and not os.path.isfile(text):
        what = "is a directory" if os.path.isdir(text) else "does not exist"
        raise FileError(f"{text} {what}: expected a picture file, or an .npy file of examples.")
    if predictor.about.vocabulary and Path(text).suffix.lower() in PICTURES and os.path.isfile(text):
        name = predictor.about.name
        raise FileError(f"{text} is a picture: {name} takes sentences in quotes, text files, or an .npy of examples.")


def is_array(text: str) -> bool:
    return Path(text).suffix.lower() in ARRAYS


def not_taken(path: Path, predictor: Predictor) -> str:
    """Why a model takes no pictures and no sentences, and what it takes."""
    ports = ", ".join(f"{port.name} {port.type}" for port in predictor.inputs)
    kind = "an .npz file with an array for each input" if len(predictor.inputs) > 1 else "an .npy file"
    return f"{path} ({predictor.about.name}) takes neither pictures nor sentences: give {kind} ({ports})."


def classes_of(predictor: Predictor, answer: np.ndarray) -> tuple[str, ...]:
    """What the numbers of an answer are called; () where they have no names."""
    classes = predictor.about.classes
    fits = answer.shape == (len(classes),) or (answer.ndim == 0 and len(classes) == 2)
    return classes if len(classes) > 1 and fits and len(predictor.outputs) == 1 else ()


def show(predictor: Predictor, answered: Sequence[Answered]) -> None:
    """Print a table: the best two classes, or else the shapes and first numbers."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    table = Table(pad_edge=False)
    classes = classes_of(predictor, answered[0].outputs[0])
    alone = not any(is_array(one.name.split("[")[0]) for one in answered)
    first = ("Sentence" if predictor.about.vocabulary else "Image") if alone else "Example"
    table.add_column(first, overflow="fold")
    for column in ("Answer", "Sure", "Else") if classes else ("Output", "Shape", "Numbers"):
        table.add_column(column, justify="right" if classes else "left", overflow="fold")
    for one in answered if alone else answered[:SHOWN]:
        for row in best(one, classes) if classes else plain(predictor, one):
            table.add_row(*map(printable, row))
    console.print(table)
    if not alone and len(answered) > SHOWN:
        console.print(f"... and {len(answered) - SHOWN:,} more: --out answers.npy keeps all.")


def best(one: Answered, classes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The surest class and the next one."""
    p = each_class(np.atleast_1d(one.outputs[0]))[0] if one.outputs[0].ndim == 0 else one.outputs[0]
    first, second = np.argsort(-p, kind="stable")[:2]
    sure = bool((p >= 0).all() and (p <= 1).all() and abs(float(p.sum()) - 1) < 0.01)  # else scores of any size
    shown = [f"{x:.1%}" if sure else f"{x:.4g}" for x in (p[first], p[second])]
    yield one.name, classes[first], shown[0], f"{classes[second]} {shown[1]}"


def plain(predictor: Predictor, one: Answered) -> Iterator[tuple[str, ...]]:
    """Each output's shape and first numbers."""
    for place, (port, array) in enumerate(zip(predictor.outputs, one.outputs, strict=True)):
        numbers = [f"{x:.5g}" for x in np.ravel(array)[:NUMBERS]]
        more = " ..." if array.size > NUMBERS else ""
        yield one.name if place == 0 else "", port.name, str(list(array.shape)), " ".join(numbers) + more


def check_place(out: Path, predictor: Predictor) -> None:
    """Raise ArgumentError for a file whose ending does not say what will be in it."""
    wanted = ".npz" if len(predictor.outputs) > 1 else ".npy"
    if out.suffix.lower() != wanted:
        has = f"{len(predictor.outputs)} outputs" if wanted == ".npz" else "one output"
        raise ArgumentError(f"--out {out}: the answers of {has} go into an {wanted} file: {out.with_suffix(wanted)}.")


def write(out: Path, predictor: Predictor, answered: Sequence[Answered]) -> None:
    """All answers in one file: an array [examples, ...], or one for each output by its name.

    Raises DataError for answers of different shapes.
    """
    arrays: dict[str, np.ndarray] = {}
    for n, port in enumerate(predictor.outputs):
        answers = [one.outputs[n] for one in answered]
        shapes = list(dict.fromkeys(answer.shape for answer in answers))
        if len(shapes) > 1:
            raise DataError(
                f"{port.name} has the shapes {shapes[0]} and {shapes[1]}: ask for one file of each at a time."
            )
        arrays[port.name] = np.stack(answers)
    content = io.BytesIO()
    if len(arrays) > 1:
        with zipfile.ZipFile(content, "w") as archive:  # np.savez takes no array that is called file
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
    else:
        np.save(content, next(iter(arrays.values())), allow_pickle=False)
    write_whole(out, content.getvalue())
    for name, array in arrays.items():
        say(f"Wrote {out}: {name}, {array.dtype}{list(array.shape)}.")
