"""Writes what Keras computes for its activations, for tests that hold Millrace to it without Keras.

Run it where keras and jax are installed: python tests/parity/make_activation_fixtures.py

`activations.npz` holds for each case NAME, of the function and arguments in CASES, its input `NAME/x`, its value
`NAME/out`, the weights `NAME/given`, and `NAME/grad`, the gradient of the sum of values times weights. Inputs are
float64; values are so too, but float32 where Keras narrows them (tanh). The inputs of functions of single elements
lie on a grid that holds their kinks and +-1e4.
"""

import os
from pathlib import Path

os.environ |= {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1"}

import jax
import jax.numpy as jnp
import numpy as np
from keras import activations

HERE = Path(__file__).parent
GRID = np.array(
    [-1e4, -300, -80, -20, -6.5, -6, -4, -3.5, -3, -2.5, -2, -1.5, -1, -0.75, -0.5, -0.3, -0.125, -1e-3, -1e-6, 0,
     1e-6, 1e-3, 0.125, 0.3, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 3.5, 4, 6, 6.5, 20, 80, 300, 1e4]
)  # fmt: skip

# name of the case: (name of the activation, arguments)
CASES = {
    **{
        name: (name, {})
        for name in (
            "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu",
            "linear", "log_sigmoid", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softplus",
            "softsign", "sparse_plus", "sparse_sigmoid", "squareplus", "tanh", "tanh_shrink",
        )
    },
    "celu alpha": ("celu", {"alpha": 0.5}),
    "elu alpha": ("elu", {"alpha": 1.5}),
    "gelu approximate": ("gelu", {"approximate": True}),
    "hard_shrink threshold": ("hard_shrink", {"threshold": 2.0}),
    "leaky_relu slope": ("leaky_relu", {"negative_slope": 0.3}),
    "relu slope": ("relu", {"negative_slope": 0.25}),
    "relu max": ("relu", {"max_value": 3.0}),
    "relu threshold": ("relu", {"threshold": 1.5}),
    "relu all": ("relu", {"negative_slope": 0.25, "max_value": 3.0, "threshold": 1.5}),
    "soft_shrink threshold": ("soft_shrink", {"threshold": 2.0}),
    "squareplus b": ("squareplus", {"b": 0.25}),
    "threshold": ("threshold", {"threshold": 1.0, "default_value": -3.0}),
}  # fmt: skip
ALONG = {
    "softmax": ("softmax", {}),
    "softmax axis": ("softmax", {"axis": 0}),
    "log_softmax": ("log_softmax", {}),
    "glu": ("glu", {}),
    "glu axis": ("glu", {"axis": 0}),
}


def record(arrays, name, function, x, given):
    arrays[f"{name}/x"] = x
    arrays[f"{name}/out"] = np.asarray(function(jnp.asarray(x)))
    arrays[f"{name}/given"] = given
    arrays[f"{name}/grad"] = np.asarray(jax.grad(lambda v: jnp.sum(function(v) * given))(jnp.asarray(x)))


def main():
    rng = np.random.default_rng(2025)
    arrays = {}
    for name, (activation, arguments) in CASES.items():
        x = np.minimum(GRID, 80) if activation == "exponential" else GRID
        function = getattr(activations, activation)
        record(arrays, name, lambda v, f=function, a=arguments: f(v, **a), x, np.ones_like(x))
    for name, (activation, arguments) in ALONG.items():
        function = getattr(activations, activation)
        x = np.concatenate([rng.normal(0, 1, (4, 6)), rng.normal(0, 1e4, (2, 6))])
        record(
            arrays,
            name,
            lambda v, f=function, a=arguments: f(v, **a),
            x,
            rng.normal(0, 1, function(x, **arguments).shape),
        )
    np.savez_compressed(HERE / "activations.npz", **arrays)


if __name__ == "__main__":
    main()
