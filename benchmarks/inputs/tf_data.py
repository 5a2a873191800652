"""tf.data: the pipeline of its guides, and as who knows it well would write it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.inputs.workloads import MEMORY, Task, arrays, files

AUTO = tf.data.AUTOTUNE


def decode_whole(path: Any, size: int, antialias: bool, dct: str) -> Any:
    """Decoded whole, the shorter side resized, the middle cropped."""
    image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method=dct)
    sides = tf.shape(image)[:2]
    scaled = tf.maximum(size, tf.cast(sides * size / tf.reduce_min(sides), tf.int32))
    image = tf.image.resize(image, scaled, method="bilinear", antialias=antialias)
    top, left = ((scaled[n] - size) // 2 for n in range(2))
    return whole_numbers(image[top : top + size, left : left + size], size)


def decode_middle(path: Any, size: int, antialias: bool, dct: str) -> Any:
    """Only the middle square is decoded, and then resized."""
    content = tf.io.read_file(path)
    sides = tf.io.extract_jpeg_shape(content)[:2]
    side = tf.reduce_min(sides)
    top, left = ((sides[n] - side) // 2 for n in range(2))
    image = tf.image.decode_and_crop_jpeg(content, [top, left, side, side], channels=3, dct_method=dct)
    return whole_numbers(tf.image.resize(image, [size, size], method="bilinear", antialias=antialias), size)


def whole_numbers(image: Any, size: int) -> Any:
    return tf.ensure_shape(tf.cast(tf.round(image), tf.uint8), [size, size, 3])


def pictures(task: Task, shuffle: bool) -> Any:
    """Files decoded in parallel, in any order where they are shuffled anyway."""
    paths, labels = files(task.root)
    size, antialias, dct = task.workload.size, task.option("antialias", True), task.option("dct", "")
    decode: Callable[..., Any] = decode_middle if task.option("crop") else decode_whole
    data = tf.data.Dataset.from_tensor_slices((paths, np.array(labels, np.int32)))
    if shuffle:
        data = data.shuffle(len(paths))
    data = data.map(
        lambda path, label: (decode(path, size, antialias, dct), label), num_parallel_calls=AUTO,
        deterministic=not shuffle,
    )  # fmt: skip
    return data.batch(task.workload.batch).prefetch(AUTO)


def rows(task: Task, shuffle: bool) -> Any:
    """Arrays in memory; mode is "slices" of single examples, "gather" by shuffled numbers, or by a "permutation"."""
    x, y = arrays(task.root)
    batch, mode = task.workload.batch, task.option("mode", "slices")
    if mode == "slices" or not shuffle:
        data = tf.data.Dataset.from_tensor_slices((x, y))
        data = data.shuffle(len(x)) if shuffle else data
        return data.batch(batch).prefetch(AUTO)
    images, labels = tf.constant(x), tf.constant(y)

    def gathered(numbers: Any) -> Any:
        return tf.gather(images, numbers), tf.gather(labels, numbers)

    if mode == "gather":
        data = tf.data.Dataset.range(len(x)).shuffle(len(x)).batch(batch)
        return data.map(gathered, num_parallel_calls=AUTO, deterministic=False).prefetch(AUTO)

    def epoch(_: Any) -> Any:
        order = tf.random.shuffle(tf.range(len(x)))
        return tf.data.Dataset.range(-(-len(x) // batch)).map(lambda n: order[n * batch : (n + 1) * batch])

    data = tf.data.Dataset.from_tensors(0).flat_map(epoch)
    return data.map(gathered, num_parallel_calls=AUTO, deterministic=False).prefetch(AUTO)


class Pipeline:
    def __init__(self, task: Task):
        self.make, self.task = (rows if task.workload.kind == MEMORY else pictures), task
        self.shuffled = self.make(task, shuffle=True)

    def run(self, epochs: int) -> int:
        """Take whole epochs, and give how many images they had."""
        return sum(int(images.shape[0]) for _ in range(epochs) for images, _ in self.shuffled)

    def ordered(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches in the order of the data: images and labels."""
        for images, labels in self.make(self.task, shuffle=False):
            yield images.numpy(), labels.numpy()


def build(task: Task) -> Pipeline:
    return Pipeline(task)
