"""What a network sees in one picture, as a page: answer, pixels that mattered, kernels, layers, nearest examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from millrace.explain.activations import LayerCall, Watch
from millrace.explain.likeness import Alike
from millrace.explain.mattered import Sight
from millrace.explain.pages import Listing, Page, Part, Picture, Pictures, Section, Text
from millrace.explain.pixels import grid
from millrace.explain.seen import Drawn
from millrace.explain.seen import picture as as_picture
from millrace.ir.dims import shape_text
from millrace.training.model import Model
from millrace.words import words

FIRST = 5  # classes that are listed
MAPS, KERNELS = 8, 96  # that are shown of a layer
NOTHING = 0.02  # a fall of probability that says nothing
COLUMNS = 16  # kernels side by side, and units are laid in rows about twice as long as they are many

Words = Mapping[str, Mapping[str, str]]


def sight_page(
    model: Model, picture: np.ndarray, name: str, about: str, classes: Sequence[str], truth: str = "",
    near: Alike | str = "", trained: bool = True, language: str = "en",
    held: bool = False,
) -> Page:  # fmt: skip
    """The page for one picture [height, width, channels], as the network takes it.

    truth: the class that it is known to have, "" where nobody knows. near: the nearest training examples, or why they
    cannot be shown. held: whether it is the first held-out example of the data that `about` names. trained: whether
    anything has been learned into the weights.  Raises ArgumentError for a network that takes no picture, or gives no
    probabilities.
    """
    said, sight = words("sight", language), Sight(model)
    p = sight.probabilities(picture[None])[0]
    answer = int(p.argmax())
    watch = Watch(model)
    calls = watch(picture)

    def called(n: int) -> str:
        return classes[n] if n < len(classes) else str(n)

    return Page(
        said["title"]["held" if held else "page"].format(name=name, about=about),
        said["title"]["kind"],
        joined(said, lead(said, p, answer, called(answer), truth, classes), warning(said, near, trained)),
        [
            Section(said["answer"]["heading"], [listing(said, p, called)]),
            Section(said["mattered"]["heading"], mattered(said, sight, picture, answer)),
            *kernels(said, calls),
            *layers(said, calls, watch.output_name, called),
            Section(said["alike"]["heading"], nearest_examples(said, near, called, answer, trained)),
        ],
        language,
        ("convolution", "saturation"),
    )


def lead(said: Words, p: np.ndarray, answer: int, name: str, truth: str, classes: Sequence[str]) -> str:
    """The answer in a sentence."""
    key = "lead" if not truth else "right" if name == truth else "wrong"
    given = p[list(classes).index(truth)] if truth in classes else 0.0
    return said["answer"][key].format(answer=name, sure=f"{p[answer]:.1%}", truth=truth, given=f"{given:.1%}")


def warning(said: Words, near: Alike | str, trained: bool) -> str:
    """Why the answer means little; "" where nothing is known against it."""
    if not trained:
        return said["title"]["untrained"]
    return said["answer"]["unlike"] if isinstance(near, Alike) and near.far else ""


def joined(said: Words, *sentences: str) -> str:
    """Sentences one after another, as the language sets them."""
    return said["marks"]["sentences"].join(filter(None, sentences))


def listing(said: Words, p: np.ndarray, called: Any) -> Part:
    rows = [[called(int(n)), f"{p[n]:.1%}"] for n in np.argsort(-p, kind="stable")[:FIRST]]
    return Listing([said["answer"]["class"], said["answer"]["probability"]], rows)


def mattered(said: Words, sight: Sight, picture: np.ndarray, answer: int) -> list[Part]:
    """Covered and differentiated."""
    table = said["mattered"]
    covered, slope = sight.covered(picture, answer), sight.slope(picture, answer)
    row, column = peak(covered.drop)
    drop = float(covered.drop.max())
    about = {"patch": covered.patch, "places": covered.places, "row": row + 1, "column": column + 1}
    key = "covered" if drop > NOTHING else "unmoved"
    at_row, at_column = peak(slope.slope)
    height, width = slope.picture.shape[:2]
    bound = float(np.abs(covered.drop).max()) or 1.0
    return [
        Text(table[key].format(**about, drop=f"{100 * max(drop, 0):.1f}")),
        Pictures(
            [
                Picture(table["seen"], shown(slope.picture), table["about_seen"].format(height=height, width=width)),
                Picture(
                    table["by_cover"], covered.drop,
                    table["about_cover"].format(
                        least=f"{100 * covered.drop.min():.1f}", greatest=f"{100 * drop:.1f}", row=row + 1,
                        column=column + 1,
                    ),
                    signed=True, low=-bound, high=bound,
                ),
                Picture(
                    table["by_slope"], slope.slope, table["about_slope"].format(row=at_row + 1, column=at_column + 1)
                ),
            ]
        ),
        Text(table["slope"]),
    ]  # fmt: skip


def kernels(said: Words, calls: Sequence[LayerCall]) -> Iterator[Section]:
    """Those of the first convolution that looks at the picture."""
    table = said["kernels"]
    first = next((call for call in calls if getattr(call.weights.get("kernel"), "ndim", 0) == 4), None)
    if first is None:
        return
    kernel = first.weights["kernel"].astype(np.float64)
    height, width, channels, total = kernel.shape
    count = min(total, KERNELS)
    coloured = channels == 3
    each = np.moveaxis(kernel, -1, 0)[:count]
    parts = [scaled(one) if coloured else one.mean(axis=-1) for one in each]
    text = table["text"].format(total=total, layer=first.name, height=height, width=width)
    more = "" if count == total else table["some"].format(shown=count)
    pixels = grid(parts, COLUMNS)
    about = table["about"].format(
        shown=count, height=height, width=width, least=f"{kernel.min():.3g}", greatest=f"{kernel.max():.3g}"
    )
    bound = None if coloured else float(np.abs(np.stack(parts)).max()) or 1.0
    low = None if bound is None else -bound
    yield Section(
        table["heading"],
        [
            Text(joined(said, text, more, table["colour" if coloured else "signed"])),
            Pictures([Picture(table["caption"].format(layer=first.name), pixels, about, not coloured, low, bound)]),
        ],
    )


def layers(said: Words, calls: Sequence[LayerCall], last: str, called: Any) -> Iterator[Section]:
    """What each layer makes of it; layers that change nothing in use are passed over.

    last: the layer whose units are the classes.
    """
    table = said["layer"]
    for call in calls:
        out = call.output.astype(np.float64)
        unchanged = any(out.size == given.size and np.array_equal(out.ravel(), given.ravel()) for given in call.given)
        if call.layer is None or unchanged or out.ndim not in (1, 3):
            continue
        heading = table["heading"].format(name=call.name, kind=call.kind, shape=shape_text(call.shape))
        if out.ndim == 3:
            yield Section(heading, maps(table, out, said["marks"]["list"]))
        else:
            best = int(out.argmax())
            greatest = (
                table["class"].format(name=called(best)) if call.name == last else table["unit"].format(n=best + 1)
            )
            yield Section(heading, units(table, out, greatest))


def maps(table: Mapping[str, str], out: np.ndarray, comma: str) -> list[Part]:
    """The strongest maps of [height, width, channels]."""
    total = out.shape[-1]
    strength = np.abs(out).reshape(-1, total).max(axis=0)
    best = np.sort(np.argsort(-strength, kind="stable")[:MAPS])
    silent = int((strength == 0).sum())
    about = table["about"].format(**told(out))
    caption = table["caption"].format(numbers=comma.join(str(n + 1) for n in best))
    drawn = Drawn(grid([out[..., n] for n in best], MAPS))
    return [
        Text(table["maps"].format(total=total, silent=silent, shown=len(best))),
        Pictures([as_picture(caption, about, drawn)]),
    ]


def units(table: Mapping[str, str], out: np.ndarray, greatest: str) -> list[Part]:
    """All units [units], laid in rows. greatest: what the greatest is called."""
    text = table["units"].format(
        total=len(out), silent=int((out == 0).sum()), unit=greatest, greatest=f"{out.max():.3g}"
    )
    columns = min(len(out), max(COLUMNS, int(np.ceil(np.sqrt(2 * len(out))))))
    rows = np.full((-(-len(out) // columns), columns), np.nan)
    rows.ravel()[: len(out)] = out
    about = table["about"].format(**told(out))
    return [Text(text), Pictures([as_picture(table["units_caption"], about, Drawn(rows))])]


def nearest_examples(said: Words, near: Alike | str, called: Any, answer: int, trained: bool) -> list[Part]:
    """Their pictures, and how far they are beside what is usual among the training examples."""
    table = said["alike"]
    if isinstance(near, str):
        return [Text(table["none"].format(reason=near))]
    text = table["text" if near.looked < near.total else "all"].format(
        looked=f"{near.looked:,}", total=f"{near.total:,}", layer=near.layer, same=near.classes.count(answer),
        count=len(near.classes),
    )  # fmt: skip
    usual, measured = f"{near.usual:.3g}", f"{near.measured:,}"
    scale = (
        table["usual"].format(usual=usual, measured=measured, nearest=f"{near.distances[0]:.3g}") if near.usual else ""
    )
    unlike = table["unlike"].format(times=f"{near.distances[0] / near.usual:.1f}") if near.far and trained else ""
    pictures = [
        Picture(
            table["caption"].format(name=called(label), distance=f"{distance:.3g}"), shown(pixels),
            table["about"].format(name=called(label)),
        )
        for pixels, label, distance in zip(near.pictures, near.classes, near.distances, strict=True)
    ]  # fmt: skip
    return [Text(text), Pictures(pictures), *(Text(one) for one in [joined(said, scale, unlike)] if one)]


# ---- numbers as pixels


def shown(pixels: np.ndarray) -> np.ndarray:
    """A picture [height, width, 1 or 3] of any numbers as colours from 0 to 1, or [height, width]."""
    x = pixels / 255 if pixels.dtype == np.uint8 else pixels.astype(np.float64)
    if x.shape[-1] != 3:
        return x.mean(axis=-1)
    return scaled(x) if x.min() < 0 or x.max() > 1 else x


def scaled(x: np.ndarray) -> np.ndarray:
    """From 0 to 1."""
    low, high = float(x.min()), float(x.max())
    return (x - low) / ((high - low) or 1.0)


def peak(x: np.ndarray) -> tuple[int, int]:
    """Row and column of the greatest number."""
    row, column = np.unravel_index(int(x.argmax()), x.shape)
    return int(row), int(column)


def told(x: np.ndarray) -> dict[str, str]:
    return {"least": f"{x.min():.3g}", "greatest": f"{x.max():.3g}", "mean": f"{x.mean():.3g}"}
