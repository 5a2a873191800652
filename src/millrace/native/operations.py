"""The operations on each number that routines know, by what they are called here: native/source/elementwise.h."""

COPY, SQUARE = 0, 2

CODES = {
    "StopGradient": COPY, "Negative": 1, "Sigmoid": 3, "Tanh": 4, "Relu": 5, "Sqrt": 6, "Rsqrt": 7, "Abs": 8, "Sign": 9,
    "Add": 10, "Subtract": 11, "Multiply": 12, "Divide": 13, "Maximum": 14, "Minimum": 15, "Greater": 16,
    "GreaterEqual": 17, "Less": 18, "LessEqual": 19, "Select": 20,
}  # fmt: skip
MULTIPLY_ADD, MULTIPLY_SUBTRACT = 21, 22  # a b + c; c - a b
AVERAGE, AVERAGE_SQUARES, ADAPTED = 23, 24, 25  # a b + c d; a b + c d d; e - a b / (sqrt(c d) + f)
REPEAT, PRODUCT = 26, 27  # a number of each row in all columns; a product with a matrix, in a loop alone
OPERANDS = 6
COMPARISONS = ("Greater", "GreaterEqual", "Less", "LessEqual")
NOTHING = (-1, 3, 0, 0, 0)  # a pass without steps (pass.h)
