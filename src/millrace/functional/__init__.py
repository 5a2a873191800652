"""NumPy's names over Millrace's vocabulary: broadcasting, promotion, axes, and compositions."""

import sys

from millrace.functional import (
    arithmetic,
    convert,
    differentiation,
    loops,
    networks,
    operators,
    products,
    randomness,
    reductions,
    shaping,
)
from millrace.functional.arithmetic import (
    abs,
    add,
    ceil,
    clip,
    cos,
    divide,
    elu,
    equal,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    gelu,
    greater,
    greater_equal,
    isfinite,
    isnan,
    leaky_relu,
    left_shift,
    less,
    less_equal,
    log,
    log1p,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    reciprocal,
    relu,
    remainder,
    right_shift,
    round,
    rsqrt,
    sigmoid,
    sign,
    silu,
    sin,
    softplus,
    sqrt,
    square,
    stop_gradient,
    subtract,
    tanh,
    where,
)  # fmt: skip
from millrace.functional.convert import (
    Input,
    as_value,
    broadcast_to,
    cast,
    constant,
    full,
    ones,
    ones_like,
    size,
    zeros,
    zeros_like,
)  # fmt: skip
from millrace.functional.differentiation import gradients, vjp
from millrace.functional.loops import scan
from millrace.functional.networks import (
    local_response_normalization,
    log_softmax,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
)  # fmt: skip
from millrace.functional.products import average_pool, conv, dot, einsum, matmul, max_pool, outer, tensordot
from millrace.functional.randomness import (
    dropout,
    next_state,
    random_bernoulli,
    random_bits,
    random_normal,
    random_state,
    random_uniform,
)  # fmt: skip
from millrace.functional.reductions import (
    all,
    any,
    argmax,
    argmin,
    average,
    count_nonzero,
    cumsum,
    logsumexp,
    max,
    mean,
    min,
    prod,
    spread,
    std,
    sum,
    var,
)  # fmt: skip
from millrace.functional.shaping import (
    arange,
    concatenate,
    expand_dims,
    flip,
    iota,
    moveaxis,
    one_hot,
    pad,
    pad_interior,
    ravel,
    reshape,
    scatter_add,
    slice_axis,
    split,
    squeeze,
    stack,
    swapaxes,
    take,
    tile,
    transpose,
)  # fmt: skip
from millrace.ir.core import set_functional

__all__ = [
    name
    for name, thing in list(globals().items())
    if callable(thing) and not name.startswith("_") and name not in ("set_functional",)
]

operators.install()
set_functional(sys.modules[__name__])
