"""A subject at work as parts of a page: pictures, curves and numbers of before, after, and what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from millrace.explain import seen
from millrace.explain.at_work.cases import Case
from millrace.explain.at_work.losses import Trial
from millrace.explain.at_work.optimizers import PLAIN, START, STEPS, Path, lowest
from millrace.explain.charts import Line, chart
from millrace.explain.facts import Curve
from millrace.explain.pages import Code, Figure, Listing, Part, Picture, Pictures, Text
from millrace.words import Table

MOST = 3  # inputs or outputs that are shown
Say = Mapping[str, Table]


def short(v: float) -> str:
    """A number to three digits."""
    if not np.isfinite(v):
        return str(v)
    return f"{int(v):,}" if float(v).is_integer() and abs(v) < 1e12 else f"{v:.3g}"


def work_parts(name: str, case: Case, curve: Curve | None, say: Say) -> Iterator[Part]:
    """What went in, what came out, and what changed."""
    told = say["work"]
    lines = [told["input"].format(input=say["input"][case.real]), *(say["note"][note] for note in case.notes)]
    yield Text(told["between"].join(lines))
    yield Code(case.code)
    if curve is not None:
        yield from curve_parts(name, curve, say)
    before = dict(list(case.inputs.items())[:MOST])
    after = dict(list(case.results.items())[:MOST])
    yield from shown(case, before, after, say)
    yield statistics(before, after, say)
    yield Text(told["between"].join(in_numbers(before, after, case.compare, say)))


def curve_parts(name: str, curve: Curve, say: Say) -> Iterator[Part]:
    """f and its slope from the least x to the greatest, and both at five places."""
    told = say["work"]
    x, y = curve.x.astype(float), curve.y
    lines = [Line(f"{name}(x)", list(x), list(y), 0, dots=False)]
    if curve.slope is not None:
        lines.append(Line(told["slope"], list(x), list(curve.slope), 1, dots=False))
    title = told["curve" if curve.slope is not None else "curve_alone"].format(name=name)
    middle = len(x) // 2
    words = told["curve_told"].format(
        name=name, first=short(y[0]), middle=short(y[middle]), last=short(y[-1]), low=short(x[0]), high=short(x[-1])
    )
    yield Figure(title, chart(title, lines, x_label="x"), words)
    places = [int(n) for n in np.linspace(0, len(x) - 1, 9)[::2]]
    columns = ["x", f"{name}(x)"] + ([told["slope"]] if curve.slope is not None else [])
    rows = [[short(x[n]), short(y[n])] + ([short(curve.slope[n])] if curve.slope is not None else []) for n in places]
    yield Listing(columns, rows)


def shown(case: Case, before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], say: Say) -> Iterator[Part]:
    """Pictures of what can be drawn, with the difference; curves of sequences; the rest as numbers."""
    pictures: list[Picture] = []
    low_high = (0.0, 1.0)
    curves: dict[str, np.ndarray] = {}
    numbers: dict[str, np.ndarray] = {}
    for role, arrays in (("before", before), ("after", after)):
        for name, array in arrays.items():
            made = seen.drawn(array, case.real)
            line = seen.curve(array) if made is None else None
            if made is not None:
                like = low_high if role == "after" else None
                pictures.append(as_picture(name, role, array, made, like, say))
            elif line is not None:
                curves |= {name if len(line) == 1 else f"{name}[{n}]": one for n, one in enumerate(line)}
            elif array.size <= seen.FEW * seen.TILES:
                numbers[name] = array
    changed = change(case, before, after, say)
    if changed is not None:
        pictures.append(changed)
    if pictures:
        yield Pictures(pictures)
    if curves:
        yield curves_figure(curves, say)
    if numbers:
        yield from written_out(numbers, say)


def as_picture(
    name: str, role: str, array: np.ndarray, made: seen.Drawn, like: tuple[float, float] | None, say: Say
) -> Picture:
    """One array with a caption that says which it is, and a description in numbers."""
    told, m = say["work"], seen.measured(array)
    caption = say["marks"]["pair"].format(name=name, role=told[role])
    if made.parts and made.shown < made.total:
        tiles = say["tiles"][made.parts].format(shown=made.shown, total=made.total)
        caption = say["marks"]["note"].format(text=caption, note=tiles)
    about = told["picture_about"].format(
        name=name, shape="×".join(map(str, array.shape)), least=short(m.least), greatest=short(m.greatest),
        mean=short(m.mean),
    )  # fmt: skip
    return seen.picture(caption, about, made, like)


def change(case: Case, before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], say: Say) -> Picture | None:
    """The first output less the first input, where that means something."""
    pair = compared(before, after, case.compare)
    if pair is None:
        return None
    (a, x), (b, y) = pair
    difference = seen.difference(x, y)
    if difference is None:
        return None
    if difference.ndim == 4 and difference.shape[-1] == 3:
        difference = difference.mean(axis=-1, keepdims=True)
    made = seen.drawn(difference, case.real)
    if made is None:
        return None
    m = seen.measured(difference)
    about = say["work"]["difference_about"].format(name=b, before=a, least=short(m.least), greatest=short(m.greatest))
    most = max(abs(m.least), abs(m.greatest)) or 1.0
    caption = say["marks"]["pair"].format(name=say["work"]["changed"], role=f"{b} - {a}")
    return Picture(caption, made.pixels, about, True, -most, most)


Named = tuple[str, np.ndarray]


def compared(
    before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], compare: bool
) -> tuple[Named, Named] | None:
    """The first input and the first output."""
    if not compare or not before or not after:
        return None
    return next(iter(before.items())), next(iter(after.items()))


def curves_figure(curves: Mapping[str, np.ndarray], say: Say) -> Figure:
    """Sequences over the same axis: a shorter one is stretched along it."""
    longest = max(map(len, curves.values()))
    lines = []
    for style, (name, y) in enumerate(curves.items()):
        x = np.linspace(0, longest - 1, len(y)) if len(y) > 1 else np.zeros(1)
        lines.append(Line(name, list(map(float, x)), list(map(float, np.nan_to_num(y))), style % 6, dots=False))
    told = say["work"]["between"].join(
        say["work"]["signal_told"].format(
            name=name, count=len(y), least=short(float(np.nanmin(y))), greatest=short(float(np.nanmax(y)))
        )
        for name, y in curves.items()
    )
    title = say["work"]["both"]
    return Figure(title, chart(title, lines, x_label=say["work"]["place"]), told)


def written_out(numbers: Mapping[str, np.ndarray], say: Say) -> Iterator[Listing]:
    """Few numbers as a table; those of one length beside each other."""
    by_size: dict[int, dict[str, np.ndarray]] = {}
    for name, array in numbers.items():
        by_size.setdefault(array.size, {})[name] = array.ravel()
    for size, group in by_size.items():
        rows = [[str(n), *(short(float(x[n])) for x in group.values())] for n in range(size)]
        if size == 1:
            yield Listing(list(group), [[short(float(x[0])) for x in group.values()]])
        elif len(rows) > seen.FEW:
            yield Listing(list(group), [[" ".join(short(float(v)) for v in x) for x in group.values()]])
        else:
            yield Listing([say["work"]["place"], *group], rows)


def statistics(before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], say: Say) -> Listing:
    """Each array's size, mean, deviation, ends and zeros."""
    told = say["work"]
    rows = []
    for role, arrays in (("before", before), ("after", after)):
        for name, array in arrays.items():
            m = seen.measured(array)
            values = (m.mean, m.deviation, m.least, m.greatest)
            label = say["marks"]["pair"].format(name=name, role=told[role])
            rows.append([label, f"{m.count:,}", *map(short, values), f"{m.zeros:.0%}"])
    keys = ("mean", "deviation", "least", "greatest", "zeros")
    return Listing(["", say["sizes"]["numbers"], *(told[key] for key in keys)], rows)


def in_numbers(
    before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], compare: bool, say: Say
) -> Iterator[str]:
    """How many numbers changed, or how many came of how many."""
    told = say["work"]
    if not before:
        yield told["made"].format(after=f"{sum(x.size for x in after.values()):,}")
        return
    pair = compared(before, after, compare)
    difference = None if pair is None else seen.difference(pair[0][1], pair[1][1])
    if difference is None:
        x, y = next(iter(before.values())), next(iter(after.values()))
        yield told["other_shape"].format(before=f"{x.size:,}", after=f"{y.size:,}")
        return
    finite = np.abs(difference[np.isfinite(difference)])
    count = int(np.sum(finite > 0))
    key = "same_shape" if count else "unchanged"
    yield told[key].format(changed=f"{count:,}", count=f"{difference.size:,}", mean=short(float(finite.mean())))


def trial_parts(name: str, trial: Trial, say: Say) -> Iterator[Part]:
    """A loss: three predictions in numbers, and its curve."""
    told = say["work"]
    truth, guesses = trial.arrays(trial.tried)
    losses, slopes = trial.measured(trial.tried)
    yield Text(told["three"].format(truth=in_brackets(truth[0])))
    columns = [told["truth"], "y_pred", told["loss"], told["loss_slope"]]
    yield Listing(columns, [
        [in_brackets(t), in_brackets(p), short(float(v)), in_brackets(s)]
        for t, p, v, s in zip(truth, guesses, losses, slopes, strict=True)
    ])  # fmt: skip
    x, y = trial.curve
    axis = say["axis"][trial.axis]
    title = told["loss_curve"].format(name=name, axis=axis)
    middle = len(x) // 2
    words = told["loss_told"].format(
        first=short(float(y[0])), low=short(float(x[0])), middle=short(float(y[middle])), at=short(float(x[middle])),
        last=short(float(y[-1])), high=short(float(x[-1])),
    )  # fmt: skip
    line = Line(told["loss"], list(map(float, x)), list(map(float, y)), dots=False)
    yield Figure(title, chart(title, [line], x_label=axis), words)


def in_brackets(x: Any) -> str:
    """A vector as [1, 2]; a single number as it is."""
    values = np.asarray(x).ravel()
    shown = [short(float(f"{float(v) + 0.0:.3g}")) if abs(v) > 1e-12 else "0" for v in values]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"


def descent_parts(name: str, own: Path, plain: Path, settings: Mapping[str, Any], say: Say) -> Iterator[Part]:
    """An optimizer's way down a real valley beside plain gradient descent's."""
    told = say["work"]
    shown_settings = ", ".join(f"{key}={value:g}" for key, value in settings.items())
    yield Text(told["descent"].format(
        name=name, settings=shown_settings, plain=f"{PLAIN:g}", steps=STEPS, a=f"{START[0]:g}", b=f"{START[1]:g}"
    ))  # fmt: skip
    steps = list(range(STEPS + 1))
    curves = {name: own, told["plain"]: plain}
    lines = [Line(n, steps, list(map(float, p.losses)), s, dots=False) for s, (n, p) in enumerate(curves.items())]
    title = told["descent_curve"]
    words = told["descent_told"].format(
        steps=STEPS, name=name, loss=short(float(own.losses[-1])), plain=short(float(plain.losses[-1]))
    )
    yield Figure(title, chart(title, lines, x_label=told["step"]), words)
    at = (0, 5, 10, 20, 40, 60)
    yield Listing(
        [told["step"], name, told["plain"]],
        [[str(n), short(float(own.losses[n])), short(float(plain.losses[n]))] for n in at],
    )
    title = told["descent_path"]
    ways = [
        Line(n, list(map(float, p.weights[:, 0])), list(map(float, p.weights[:, 1])), s)
        for s, (n, p) in enumerate(curves.items())
    ]
    best = lowest()[1]
    ways.append(Line(told["lowest"], [float(best[0])], [float(best[1])], 2))
    words = told["path_told"].format(
        name=name, a=short(own.weights[-1][0]), b=short(own.weights[-1][1]), pa=short(plain.weights[-1][0]),
        pb=short(plain.weights[-1][1]), la=short(best[0]), lb=short(best[1]),
    )  # fmt: skip
    yield Figure(title, chart(title, ways, x_label="a", y_label="b"), words)


def program_parts(program: tuple[str, list[str]], say: Say) -> Iterator[Part]:
    """The program that holds the operation."""
    yield Text(say["work"]["of_program"])
    yield Code(program[0].rstrip())
