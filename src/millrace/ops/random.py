"""Random numbers from a counter: a pure function of seed, count and stream, the same on every engine."""

from __future__ import annotations

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace.ir.composite import Composite
from millrace.ir.core import Primitive, Sample, Value, none, require_same
from millrace.ir.dims import Size, product
from millrace.ir.errors import DTypeError, ShapeError
from millrace.ir.formula import Formula, at, indices
from millrace.ir.types import TensorType
from millrace.ops.sampling import bad_types, tensor, uniform

BLOCK = 2**18  # counters that the interpreter works on at a time
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry2x32(key0: Any, key1: Any, x0: Any, x1: Any) -> tuple[Any, Any]:
    """Twenty rounds of Threefry-2x32 on arrays of uint32, in NumPy or XLA.

    Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011, section 3.3.
    """
    keys = (key0, key1, key0 ^ key1 ^ np.uint32(0x1BD11BDA))
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for block in range(5):
        for rotation in ROTATIONS[block % 2]:
            x0 = x0 + x1
            x1 = (x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation))
            x1 = x1 ^ x0
        x0 = x0 + keys[(block + 1) % 3]
        x1 = x1 + keys[(block + 2) % 3] + np.uint32(block + 1)
    return x0, x1


def require_state(state: TensorType) -> None:
    if state.dtype != "uint32" or state.shape != (2,):
        raise DTypeError(f"a random state is uint32[2], seed and count; got {state}. mr.random_state(seed) makes one.")


@dataclass(frozen=True)
class RandomBits(Primitive):
    """Uniformly random 32-bit words: a function of the state (seed, count) and the stream's name alone.

    state uint32[2] -> uint32 of `shape`. Word i of n comes from Threefry-2x32 with the key
    (seed, crc32(stream)) and the counter (count, i mod ceil(n/2)): first halves, then second halves.
    Source: Salmon et al. 2011.
    """

    shape: tuple[Size, ...]
    stream: str

    gradient = none("random bits do not depend smoothly on anything")

    def infer(self, state: TensorType) -> TensorType:
        require_state(state)
        return TensorType("uint32", self.shape)

    def flop(self, state: TensorType) -> int:
        """Threefry's whole-number operations: 20 rounds of 5 and 6 additions of keys make two words."""
        return 58 * int(product(self.shape))

    def evaluate(self, state: np.ndarray) -> np.ndarray:
        count = int(product(self.shape))
        half = (count + 1) // 2
        key1 = np.uint32(zlib.crc32(self.stream.encode()))
        words = np.empty((2, half), np.uint32)

        def fill(start: int) -> None:
            block = np.arange(start, min(start + BLOCK, half), dtype=np.uint32)
            with np.errstate(over="ignore"):  # arithmetic modulo 2^32 is the point
                words[:, start : start + BLOCK] = threefry2x32(state[0], key1, np.full_like(block, state[1]), block)

        # Block by block, which stays in the cache, on all cores: 38 million words in 0.3 s for 1.2 (2 cores, Zen 5).
        starts = range(0, half, BLOCK)
        if len(starts) < 8:
            for start in starts:
                fill(start)
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(fill, starts))
        return words.reshape(-1)[:count].reshape(self.shape)  # type: ignore[arg-type]

    def lower(self, low: Any, state: Any) -> Any:
        count = int(product(self.shape))
        half = (count + 1) // 2
        key1 = low.jnp.asarray(np.uint32(zlib.crc32(self.stream.encode())))
        block = low.jnp.arange(half, dtype=np.uint32)
        first, second = threefry2x32(state[0], key1, low.jnp.broadcast_to(state[1], (half,)), block)
        return low.whole(low.jnp.concatenate([first, second])[:count].reshape(self.shape))

    def formula(self, state: TensorType) -> Formula:
        index = indices("i", len(self.shape))
        flat = "0"
        for name, size in zip(index, self.shape, strict=True):
            flat = f"({flat}) * {size} + {name}"
        key = zlib.crc32(self.stream.encode())
        return Formula(
            f"{at('out', index)} = word(state[0], {key}, state[1], {flat}, {product(self.shape)})",
            functions={"word": _word},
        )

    def notation(self, state: str) -> str:
        return f"random_bits({self.stream!r})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        state = np.array([42, 7], np.uint32)
        return [Sample(cls(shape, "noise"), (state,)) for shape in ((4,), (3, 3), (), (2, 1, 2))]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls((3,), "s"), "uint32[2]", tensor("int32", 2)),
            bad_types(cls((3,), "s"), "uint32[2]", tensor("uint32", 3)),
        ]


def _word(seed: int, key: int, count: int, flat: int, total: int) -> int:
    """Word `flat` of `total`, in Python's own whole numbers."""
    half, mask = (total + 1) // 2, 0xFFFFFFFF
    keys = (seed, key, seed ^ key ^ 0x1BD11BDA)
    x0, x1 = (count + keys[0]) & mask, (flat % half + keys[1]) & mask
    for n in range(20):
        x0 = (x0 + x1) & mask
        turn = ROTATIONS[n // 4 % 2][n % 4]
        x1 = ((x1 << turn | x1 >> (32 - turn)) & mask) ^ x0
        if n % 4 == 3:
            x0 = (x0 + keys[(n // 4 + 1) % 3]) & mask
            x1 = (x1 + keys[(n // 4 + 2) % 3] + n // 4 + 1) & mask
    return x0 if flat < half else x1


@dataclass(frozen=True)
class Dropout(Composite):
    """Set each element to 0 with probability `rate` and divide the others by 1 - rate.

    x of any shape, state uint32[2] -> like x. Dividing keeps the expected value, so that nothing needs to
    be scaled when training is over; then the operation is x itself. keep_prob is 1 - rate.
    Source: Krizhevsky et al. 2012, section 4.2; Srivastava et al. 2014.
    """

    pointwise = True

    rate: float
    stream: str

    def infer(self, x: TensorType, state: TensorType) -> TensorType:
        if not x.is_float:
            raise DTypeError(f"dropout takes floating-point values, got {x}. Convert with mr.cast.")
        require_state(state)
        if not 0 <= self.rate < 1:
            raise ShapeError(f"dropout rate must be at least 0 and below 1, got {self.rate}.")
        return x

    def expand(self, mr: Any, x: Value, state: Value) -> Value:
        keep = mr.random_bernoulli(state, 1 - self.rate, x.shape, self.stream)
        return mr.where(keep, x * (1 / (1 - self.rate)), 0.0)

    def inference(self, mr: Any, x: Value, state: Value) -> Value:
        return x

    def formula(self, x: TensorType, state: TensorType) -> Formula:
        index = indices("i", x.ndim)
        flat = "0"
        for name, size in zip(index, x.shape, strict=True):
            flat = f"({flat}) * {size} + {name}"
        key = zlib.crc32(self.stream.encode())
        word = f"word(state[0], {key}, state[1], {flat}, {product(x.shape)})"
        kept = f"{at('x', index)} / {1 - self.rate}"
        return Formula(
            f"{at('out', index)} = {kept} if {word} < {round((1 - self.rate) * 2**32)} else 0",
            functions={"word": _word},
        )

    def notation(self, x: str, state: str) -> str:
        return f"dropout({x}, {self.rate:g})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        state = np.array([3, 1], np.uint32)
        return [
            Sample(cls(rate, "drop"), (uniform(rng, shape), state))
            for rate, shape in ((0.5, (4, 5)), (0.2, (7,)), (0.0, (3,)))
        ]

    @classmethod
    def errors(cls) -> list:
        state = tensor("uint32", 2)
        return [
            bad_types(cls(1.0, "s"), "below 1", tensor("float32", 3), state),
            bad_types(cls(-0.1, "s"), "at least 0", tensor("float32", 3), state),
            bad_types(cls(0.5, "s"), "floating-point", tensor("int32", 3), state),
            bad_types(cls(0.5, "s"), "uint32[2]", tensor("float32", 3), tensor("float32", 2)),
        ]


@dataclass(frozen=True)
class TrainingOnly(Primitive):
    """y while a network is trained, x afterwards: how noise leaves a network that is used.

    x and y of one type -> like y. Its gradient goes to y alone.
    Source: Bishop 1995, Training with Noise is Equivalent to Tikhonov Regularization.
    """

    moves = True
    pointwise = True

    def infer(self, x: TensorType, y: TensorType) -> TensorType:
        require_same(self, x, y)
        return y

    def evaluate(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return y

    def gradient(self, mr: Any, g: Value, out: Value, x: Value, y: Value) -> Any:
        return None, g

    def lower(self, low: Any, x: Any, y: Any) -> Any:
        return y

    def inference(self, mr: Any, x: Value, y: Value) -> Value:
        return x

    def formula(self, x: TensorType, y: TensorType) -> Formula:
        index = indices("i", x.ndim)
        return Formula(f"{at('out', index)} = {at('y', index)}")

    def notation(self, x: str, y: str) -> str:
        return f"training_only({y})"

    @classmethod
    def samples(cls, rng: np.random.Generator) -> list[Sample]:
        return [Sample(cls(), (uniform(rng, shape), uniform(rng, shape))) for shape in ((3,), (2, 4))]

    @classmethod
    def errors(cls) -> list:
        return [
            bad_types(cls(), "one shape", tensor("float32", 3), tensor("float32", 4)),
            bad_types(cls(), "one dtype", tensor("float32", 3), tensor("float64", 3)),
        ]
