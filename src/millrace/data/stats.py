"""Means, deviations and principal colours of all pictures of a source, to subtract, to divide by, and to vary."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from millrace.data.decode import decode_image
from millrace.data.labels import is_encoded
from millrace.data.ordered import in_order
from millrace.data.source import Source
from millrace.ir.errors import ArgumentError, DataError, FileError
from millrace.ir.types import widened

CHUNK = 16  # pictures that a thread takes in one go
ARRAYS = ("mean", "std", "mean_image", "covariance", "eigenvalues", "eigenvectors")
Report = Callable[[int, int], None]  # how many pictures are done, of how many


@dataclass(frozen=True)
class PixelStats:
    """Statistics of `count` pictures [height, width, channels], in the units of the source: 0 to 255 for files.

    mean [channels], std [channels] and covariance [channels, channels] are over all pixels of all pictures, divided by
    their number; mean_image [height, width, channels] is over the pictures. eigenvalues [channels], the largest first,
    and eigenvectors [channels, channels], one in each column, are those of the covariance; a vector's largest component
    is positive. broken: pictures that were left out, by name, and why.
    """

    count: int
    mean: np.ndarray
    std: np.ndarray
    mean_image: np.ndarray
    covariance: np.ndarray
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray
    broken: Mapping[str, str] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """All numbers by name, as a file keeps them: float64, and the count int64."""
        return {"count": np.array(self.count, np.int64)} | {name: getattr(self, name) for name in ARRAYS}

    def content(self) -> bytes:
        """The bytes of a .npz file with all numbers by name, which `read_stats` reads."""
        kept, arrays = io.BytesIO(), dict[str, Any](self.arrays())
        np.savez(kept, **arrays)
        return kept.getvalue()


def read_stats(path: str | Path) -> PixelStats:
    """The statistics of a file that `millrace data stats` wrote; which pictures were left out is not in it.

    Raises FileError for a file that is missing, damaged, or holds something else.
    """
    path = Path(path).expanduser()
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: np.asarray(file[name]) for name in ("count", *ARRAYS)}
    except FileNotFoundError:
        raise FileError(f"{path} does not exist: `millrace data stats FOLDER --out {path}` makes it.") from None
    except (OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise FileError(
            f"{path} holds no statistics of pictures ({error}): `millrace data stats` makes them."
        ) from None
    image = arrays["mean_image"].shape
    c = image[-1:]
    shapes = {"count": (), "mean": c, "std": c, "covariance": c + c, "eigenvalues": c, "eigenvectors": c + c}
    fit = len(image) == 3 and all(arrays[name].shape == shape for name, shape in shapes.items())
    if not fit or not all(a.dtype.kind in "iuf" and np.isfinite(a).all() for a in arrays.values()):
        raise FileError(f"{path} holds no statistics of pictures that fit together: `millrace data stats` makes them.")
    return PixelStats(int(arrays.pop("count")), **arrays)


def pixel_stats(
    source: Source, size: int | None = None, workers: int | None = None, report: Report | None = None
) -> PixelStats:
    """Statistics of the pictures of a source.

    size: height and width in pixels to which picture files are scaled and cut, as for training; None for arrays, which
    keep their own: [height, width] or [height, width, channels]. workers: threads, one for each processor unless
    given. report: told how many pictures are done.

    Sums are taken in whole numbers for uint8, without rounding, and in float64 for others, in an order that does not
    depend on the number of threads: so neither do the results.

    Raises ArgumentError for a size that does not fit the source, or records that are no pictures, DataError where none
    can be used, FileError where the source is gone.
    Source: Krizhevsky et al. 2012, sections 2 (mean) and 4.1 (covariance).
    """
    height, width, channels = _shape(source, size)
    pixels = np.zeros((height, width, channels), np.int64 if _is_exact(source) else np.float64)
    products = np.zeros((channels, channels), pixels.dtype)
    broken, count, done = dict[str, str](), 0, 0

    def chunk(n: int) -> _Sums:
        return _sums(source, np.arange(n * CHUNK, min((n + 1) * CHUNK, source.count)), (height, width, channels))

    for some in in_order(chunk, -(-source.count // CHUNK), workers):
        pixels += some.pixels
        products += some.products.astype(products.dtype)
        count += some.count
        done += some.count + len(some.broken)
        broken |= {source.record(n): why for n, why in some.broken.items()}
        if report is not None:
            report(done, source.count)
    if not count:
        name, why = next(iter(broken.items()))
        raise DataError(f"{source.name} holds no picture that can be used, of {source.count:,}: {name}: {why}.")
    every = count * height * width
    mean = pixels.sum(axis=(0, 1)) / every
    covariance = products / every - np.outer(mean, mean)
    covariance = (covariance + covariance.T) / 2
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(channels)]
    return PixelStats(
        count, mean, np.sqrt(np.diag(covariance).clip(min=0)), pixels / count, covariance, values,
        vectors * np.sign(largest), broken,
    )  # fmt: skip


@dataclass(frozen=True)
class _Sums:
    """Of some pictures: the sum of each pixel, that of the products of its channels, and what could not be used."""

    pixels: np.ndarray
    products: np.ndarray
    count: int
    broken: Mapping[int, str]


def _sums(source: Source, numbers: np.ndarray, shape: tuple[int, int, int]) -> _Sums:
    taken = source.take(numbers)
    broken = dict(taken.broken)
    exact = _is_exact(source)
    pixels = np.zeros(shape, np.uint32 if exact else np.float64)  # 16 times 255 fits
    products = np.zeros((shape[2], shape[2]), np.float64)  # whole numbers below 2^53 are exact in any order
    for place, picture in enumerate(taken.columns[0]):
        if place in broken:
            continue
        if is_encoded(source):
            try:
                picture = decode_image(picture, *shape)
            except DataError as error:
                broken[place] = str(error)
                continue
        picture = widened(picture).reshape(shape)
        pixels += picture
        flat = picture.reshape(-1, shape[2]).astype(np.float64)
        products += flat.T @ flat
    return _Sums(pixels, products, len(numbers) - len(broken), {int(numbers[n]): why for n, why in broken.items()})


def _is_exact(source: Source) -> bool:
    return source.elements[0].dtype == "uint8"


def _shape(source: Source, size: int | None) -> tuple[int, int, int]:
    """Height, width and channels of the pictures."""
    first = source.elements[0]
    if is_encoded(source):
        if size is None:
            raise ArgumentError(f"{source.name} holds picture files of many sizes: say to which size to scale them.")
        if size < 1:
            raise ArgumentError(f"size must be at least 1 pixel, got {size}.")
        return size, size, 3
    if first.ndim not in (2, 3) or not first.is_concrete:
        raise ArgumentError(
            f"{source.name} holds records of {first}, which are no pictures [height, width] or [height, width, "
            "channels]."
        )
    if size is not None:
        raise ArgumentError(f"{source.name} holds arrays {first}, which keep their size: leave the size out.")
    height, width, *channels = first.shape
    return height, width, channels[0] if channels else 1
