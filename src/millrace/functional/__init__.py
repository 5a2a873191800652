"""NumPy's names over Millrace's vocabulary: broadcasting, promotion, axes, and compositions.

Where a function differs from NumPy's of the same name, its docstring says so. These differences they share:

- Python's numbers are float32 or int32, and take the dtype of what they meet. One that does not fit is an error.
- Whole numbers become float32 where results have fractions, and in floor, ceil and round. Beside floats they take the
  floats' dtype: int32 with float32 is float32, in NumPy float64. uint64 with int64 is an error.
- Positions and counts are int32. Sums and products of whole numbers keep their dtype, and wrap; those of booleans are
  int32.
- Arithmetic, products, maximum and minimum refuse booleans. Logic refuses floats and works on whole numbers bit by
  bit, and shifts take unsigned ones; any, all and the condition of where take booleans alone.
- A mean, variance or deviation over an empty axis is an error, and so is an axis of a single number. A list may name
  axes where NumPy takes only a tuple.
"""

import sys

from millrace.functional import (
    activations,
    arithmetic,
    convert,
    differentiation,
    images,
    loops,
    mixing,
    networks,
    operators,
    products,
    randomness,
    reductions,
    shaping,
    sharding,
)
from millrace.functional.activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_silu,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    mish,
    relu,
    relu6,
    selu,
    silu,
    soft_shrink,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh_shrink,
    threshold,
)  # fmt: skip
from millrace.functional.arithmetic import (
    abs,
    add,
    ceil,
    clip,
    cos,
    divide,
    equal,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    isfinite,
    isnan,
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
    remainder,
    right_shift,
    round,
    rsqrt,
    sigmoid,
    sign,
    sin,
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
    autocast,
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
from millrace.functional.images import (
    center_crop,
    crop_of_ten,
    flip_left_right,
    flip_up_down,
    pca_color,
    random_brightness,
    random_contrast,
    random_crop,
    random_cutout,
    random_erasing,
    random_flip,
    subtract_mean,
    ten_crops,
)
from millrace.functional.loops import scan
from millrace.functional.mixing import mixup, random_beta, random_partner
from millrace.functional.networks import (
    attention_weights,
    batch_normalization,
    dot_product_attention,
    example_weights,
    layer_normalization,
    local_response_normalization,
    log_softmax,
    masked_softmax,
    sigmoid_cross_entropy,
    softmax,
    softmax_cross_entropy,
    standardize,
)  # fmt: skip
from millrace.functional.products import (
    average_pool,
    conv,
    conv_transpose,
    dot,
    einsum,
    matmul,
    max_pool,
    outer,
    tensordot,
)
from millrace.functional.randomness import (
    dropout,
    next_state,
    random_bernoulli,
    random_bits,
    random_integers,
    random_normal,
    random_state,
    random_uniform,
    training_only,
)  # fmt: skip
from millrace.functional.reductions import (
    all,
    all_finite,
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
from millrace.functional.sharding import shard
from millrace.ir.core import set_functional

__all__ = [
    name
    for name, thing in list(globals().items())
    if callable(thing) and not name.startswith("_") and name not in ("set_functional",)
]

operators.install()
set_functional(sys.modules[__name__])
