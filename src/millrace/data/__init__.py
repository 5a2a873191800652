"""Where examples come from: `mr.data.ImageFolder("photos")`, `mr.data.open_source("mnist")`, `mr.data.cifar10()`."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

# Every public name and the file that it lives in: each arrives with its first use, and with it what the file imports.
PLACES = {
    "Source": "source",
    "ArraySource": "memory",
    "npy_source": "memory",
    "npz_source": "memory",
    "ImageFolder": "image_folder",
    "Packed": "packed",
    "CSVSource": "csv_file",
    "TextSource": "text_lines",
    "idx_source": "published_sources",
    "cifar_source": "published_sources",
    "open_source": "opening",
    "Dataset": "datasets",
    "digits": "datasets",
    "mnist": "datasets",
    "fashion_mnist": "datasets",
    "cifar10": "datasets",
    "cifar100": "datasets",
    "imagenette": "datasets",
    "imagenet": "imagenet_folder",
    "tinyshakespeare": "text_files",
    "rt_polarity": "text_files",
    "Vocabulary": "text",
    "pad_sequences": "text",
    "windows": "text",
    "stateful_batches": "text",
    "decode_image": "decode",
}
__all__ = list(PLACES)


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        near = get_close_matches(name, PLACES, n=1)
        raise AttributeError(f"millrace.data has no {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
    globals()[name] = getattr(import_module(f"millrace.data.{PLACES[name]}"), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *PLACES})
