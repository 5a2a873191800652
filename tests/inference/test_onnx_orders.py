"""Random networks of layers, reshapes and transposes: in whichever order axes lie in the file, answers are the same."""

import numpy as np
import pytest
from onnx_running import run

import millrace as mr
from millrace.inference import Predictor
from millrace.ir.dims import bind, dim
from millrace.ir.errors import MillraceError
from millrace.ir.graph import Graph
from millrace.ir.leaves import Placeholder
from millrace.ir.rewrite import simplify
from millrace.ir.types import TensorType

BATCH, LARGEST, STEPS = dim("batch"), 4000, 24


class Grower:
    """A graph over maps [batch, 4, 6, 2] and vectors [batch, 4], from random choices; what does not fit is left out."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.inputs = [
            Placeholder("maps", TensorType("float32", (BATCH, 4, 6, 2)))(),
            Placeholder("vectors", TensorType("float32", (BATCH, 4)))(),
        ]
        self.values = [*self.inputs, self.grow_convolution(self.inputs[0])]
        steps = [name for name in vars(Grower) if name.startswith("grow_")]
        for _ in range(STEPS):
            try:
                made = getattr(self, steps[self.below(len(steps))])(self.values[self.below(len(self.values))])
            except (MillraceError, ValueError, IndexError, TypeError):
                continue
            if 1 <= made.ndim <= 5 and np.prod([bind(size, {"batch": 3}) for size in made.shape]) <= LARGEST:
                self.values.append(made)

    def below(self, count):
        return int(self.rng.integers(count))

    def axis(self, x, first=0):
        return first + self.below(x.ndim - first)

    def weight(self, *shape):
        numbers = self.rng.normal(0, 0.5, shape).astype(np.float32)
        return mr.Variable(numbers, name=f"w{self.below(2**40)}") if self.below(3) else mr.constant(numbers)

    def grow_convolution(self, x):
        y = mr.conv(x, self.weight(*(min(2, n) for n in x.shape[1:-1]), x.shape[-1], 3), padding="same")
        return y + self.weight(3) if self.below(2) else y

    def grow_pooling(self, x):
        return (mr.max_pool, mr.average_pool)[self.below(2)](x, 2, 1 + self.below(2))

    def grow_dense(self, x):
        return mr.matmul(x, self.weight(x.shape[-1], 3)) + self.weight(3)

    def grow_element(self, x):
        return (mr.tanh, mr.relu, mr.elu, mr.softplus, lambda v: mr.where(v > 0.1, v, 0.5))[self.below(5)](x)

    def grow_pair(self, x):
        return (mr.add, mr.multiply, mr.maximum)[self.below(3)](x, self.values[self.below(len(self.values))])

    def grow_scale(self, x):
        return x * self.weight(*(n if isinstance(n, int) and self.below(2) else 1 for n in x.shape))

    def grow_transpose(self, x):
        return mr.transpose(x, tuple(map(int, self.rng.permutation(x.ndim))))

    def grow_fold(self, x):
        axes = tuple(map(int, self.rng.choice(x.ndim, 1 + self.below(x.ndim - 1), replace=False)))
        return (mr.mean, mr.max, mr.sum)[self.below(3)](x, axis=axes, keepdims=bool(self.below(2)))

    def grow_merge(self, x):
        at, sizes = self.axis(x, 1), list(x.shape)
        return mr.reshape(x, (*sizes[: at - 1], sizes[at - 1] * sizes[at], *sizes[at + 1 :]))

    def grow_split(self, x):
        at, sizes = self.axis(x), list(x.shape)
        return mr.reshape(x, (*sizes[:at], 2, sizes[at] // 2, *sizes[at + 1 :]))

    def grow_one(self, x):
        return mr.expand_dims(x, self.axis(x))

    def grow_flat(self, x):
        return mr.reshape(x, (BATCH, -1))

    def grow_joined(self, x):
        return mr.concatenate([x, mr.tanh(x)], axis=self.axis(x))

    def grow_part(self, x):
        return mr.slice_axis(mr.flip(x, at := self.axis(x)), at, 1, x.shape[at])

    def grow_chosen(self, x):
        return mr.take(x, np.array([0, 1, 0]), axis=self.axis(x, 1))

    def grow_softmax(self, x):
        return mr.softmax(x)

    def grow_response(self, x):
        return mr.local_response_normalization(x)

    def grow_edge(self, x):
        return mr.pad(x, [(0, 0), *((self.below(2), self.below(2)) for _ in x.shape[1:])])


@pytest.mark.parametrize("seed", range(30))
def test_random_networks_answer_the_same_in_onnx_runtime(seed):
    grown = Grower(seed)
    outputs = grown.values[-4:]
    graph = simplify(Graph(grown.inputs, outputs))
    predictor = Predictor(graph, [f"y{n}" for n in range(len(outputs))], engine="numpy")
    arrays = [grown.rng.standard_normal((3, *value.shape[1:])).astype(np.float32) for value in grown.inputs]
    for a, b in zip(run(predictor, arrays), predictor(*arrays), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
