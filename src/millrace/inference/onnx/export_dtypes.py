"""In which dtypes ONNX Runtime's CPU kernels compute, and what an operation is computed in where it has none.

ONNX allows most operators for most dtypes, but a runtime refuses a model for a kernel that it lacks. So an operation is
put between two Casts where that changes no result: whole numbers in wider ones, numbers of 16 bits in float32, as
Millrace itself computes with them. float64 stays what it is: another runtime may have it.
"""

from __future__ import annotations

from millrace.ir.types import DTYPES

WIDER = {
    "bool": "uint8", "int8": "int32", "int16": "int32", "uint8": "int32", "uint16": "int32", "uint32": "int64",
    "uint64": "int64", "float16": "float32", "bfloat16": "float32",
}  # fmt: skip

# What ONNX Runtime 1.32 has at opset 18 on a CPU, of those that Millrace's numbers may come in.
_FLOATS = ("float32", "float64")
_WIDE = ("int32", "int64", *_FLOATS)
_SMALL = ("uint8", "int8", *_WIDE)
_LIMITED = ("uint8", "uint32", "uint64", "int8", *_WIDE)
_WHOLE = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
_SHIFTED = ("uint8", "uint16", "uint32", "uint64")
_ALL_BUT_BFLOAT16 = tuple(dtype for dtype in DTYPES if dtype != "bfloat16")

KERNELS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Abs", "Sign", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"),
                    (*_WHOLE, *_FLOATS)),
    **dict.fromkeys(("Max", "Min", "Clip"), _LIMITED),
    **dict.fromkeys(("ReduceSum", "ReduceProd", "CumSum", "Einsum"), _WIDE),
    **dict.fromkeys(("ReduceMax", "ReduceMin", "ArgMax", "ArgMin"), _SMALL),
    **dict.fromkeys(("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"), _WHOLE),
    "Equal": ("bool", *_WHOLE, *_FLOATS),
    "Neg": ("int8", "int16", *_WIDE),
    "MatMul": ("uint32", "uint64", *_WIDE),
    "Where": ("uint8", "uint32", "int8", "float16", *_WIDE),
    "BitShift": _SHIFTED,
    "Expand": _ALL_BUT_BFLOAT16,
    "Pad": ("bool", "float16", *_LIMITED),
}  # fmt: skip

MOVES = ("Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Concat", "Slice", "Gather", "GatherND")


def work_dtype(op_type: str, dtype: str) -> str:
    """The dtype to compute an operator in, for operands of `dtype`."""
    kernels = DTYPES if op_type in MOVES else KERNELS.get(op_type, _FLOATS)
    while dtype not in kernels and dtype in WIDER:
        dtype = WIDER[dtype]
    return dtype
