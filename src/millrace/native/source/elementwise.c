#include "elementwise.h"

#include "exponential.h"

#if defined(__AVX512F__)
INLINE Vector square_root(Vector x) { return (Vector)_mm512_sqrt_ps((__m512)x); }
#elif defined(__AVX2__)
INLINE Vector square_root(Vector x) { return (Vector)_mm256_sqrt_ps((__m256)x); }
#else
INLINE Vector square_root(Vector x) {
  for (int n = 0; n < LANES; n++) x[n] = __builtin_sqrtf(x[n]);
  return x;
}
#endif

INLINE Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }

/* A quotient of polynomials, exact to a few units in the last place; the coefficients are Eigen's and XLA's. */
INLINE Vector hyperbolic_tangent(Vector x) {
  const Vector t = at_least(at_most(x, 7.90531111f), -7.90531111f), s = t * t;
  Vector p = s * -2.76076847742355e-16f + 2.00018790482477e-13f;
  p = p * s + -8.60467152213735e-11f;
  p = p * s + 5.12229709037114e-08f;
  p = p * s + 1.48572235717979e-05f;
  p = p * s + 6.37261928875436e-04f;
  p = p * s + 4.89352455891786e-03f;
  Vector q = s * 1.19825839466702e-06f + 1.18534705686654e-04f;
  q = q * s + 2.26843463243900e-03f;
  q = q * s + 4.89352518554385e-03f;
  return chosen((t < 0.0004f) & (t > -0.0004f), t, t * p / q);
}

INLINE Vector computed(const Operation operation, Vector a, Vector b, Vector c) {
  switch (operation) {
    case NEGATIVE:
      return -a;
    case SQUARE:
      return a * a;
    case SIGMOID:
      return sigmoid(a);
    case TANH:
      return hyperbolic_tangent(a);
    case RELU:
      return chosen(a < 0, all(0), a);
    case SQRT:
      return square_root(a);
    case RSQRT:
      return 1.0f / square_root(a);
    case ABS:
      return chosen(a < 0, -a, a);
    case SIGN: {
      const Vector upper = chosen(a > 0, all(1), a);
      return chosen(a < 0, all(-1), upper); /* 0 stays 0, NaN stays NaN */
    }
    case ADD:
      return a + b;
    case SUBTRACT:
      return a - b;
    case MULTIPLY:
      return a * b;
    case DIVIDE:
      return a / b;
    case MAXIMUM:
      return chosen((b > a) | (b != b), b, a);
    case MINIMUM:
      return chosen((b < a) | (b != b), b, a);
    case GREATER:
      return chosen(a > b, all(1), all(0));
    case GREATER_EQUAL:
      return chosen(a >= b, all(1), all(0));
    case LESS:
      return chosen(a < b, all(1), all(0));
    case LESS_EQUAL:
      return chosen(a <= b, all(1), all(0));
    case SELECT:
      return chosen(a != 0, b, c);
    case MULTIPLY_ADD:
      return a * b + c;
    case MULTIPLY_SUBTRACT:
      return c - a * b;
    default:
      return a;
  }
}

/* What is the same number in all columns stays in a register. */
INLINE void along(const Operation operation, Block out, Block a, Block b, Block c, ptrdiff_t rows, ptrdiff_t columns,
                  const int same_a, const int same_b, const int same_c) {
  for (ptrdiff_t r = 0; r < rows; r++) {
    float *to = out.first + r * out.ld;
    const float *x = a.first + (same_a ? 0 : r * a.ld), *y = b.first + (same_b ? 0 : r * b.ld),
                *z = c.first + (same_c ? 0 : r * c.ld);
    const Vector zero = {0}, u = same_a ? load(x) : zero, v = same_b ? load(y) : zero, w = same_c ? load(z) : zero;
    ptrdiff_t n = 0;
#pragma GCC unroll 4
    for (; n + LANES <= columns; n += LANES)
      store(to + n, computed(operation, same_a ? u : load(x + n), same_b ? v : load(y + n), same_c ? w : load(z + n)));
    if (n < columns) {
      const int left = (int)(columns - n);
      store_some(to + n,
                 computed(operation, same_a ? u : load_some(x + n, left), same_b ? v : load_some(y + n, left),
                          same_c ? w : load_some(z + n, left)),
                 left);
    }
  }
}

INLINE void each(const Operation operation, Block out, Block a, Block b, Block c, ptrdiff_t rows, ptrdiff_t columns) {
  switch ((a.ld < 0) | (b.ld < 0) << 1 | (c.ld < 0) << 2) {
#define CHOICE(n, first)                                                                                          \
  case n:                                                                                                         \
    if (operation >= (first)) along(operation, out, a, b, c, rows, columns, (n) & 1, (n) >> 1 & 1, (n) >> 2 & 1); \
    break;
    CHOICE(0, COPY) /* what has fewer operands has the last of them again */
    CHOICE(7, COPY)
    CHOICE(1, ADD)
    CHOICE(6, ADD)
    CHOICE(2, SELECT)
    CHOICE(3, SELECT)
    CHOICE(4, SELECT)
    CHOICE(5, SELECT)
  }
}

static void repeat_each(Block out, Block a, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t r = 0; r < rows; r++)
    for (ptrdiff_t n = 0; n < columns; n++) out.first[r * out.ld + n] = a.first[r * a.ld];
}

/* Whether a row begins where the one before ends. */
INLINE int joins(Block block, ptrdiff_t columns) { return block.ld < 0 || block.ld == columns; }

#define CASE(name)                           \
  case name:                                 \
    each(name, out, a, b, c, rows, columns); \
    break;

/* What optimizers do to each weight, with all that lies in between in registers: Adam's whole update of 400,000 weights
   takes 0.38 ms of one core so, 0.5 in steps of two operands (Zen 4). */
INLINE Vector adapted(const Operation operation, const Vector same[OPERANDS], Vector b, Vector d, Vector e) {
  switch (operation) {
    case AVERAGE:
      return same[0] * b + same[2] * d;
    case AVERAGE_SQUARES:
      return same[0] * b + same[2] * d * d;
    default:
      return e - same[0] * b / (square_root(same[2] * d) + same[5]);
  }
}

INLINE void adapt_each(const Operation operation, Block out, const Block *const in[OPERANDS], ptrdiff_t rows,
                       ptrdiff_t columns) {
  const Block *b = in[1], *d = in[3], *e = in[4];
  Vector same[OPERANDS];
  for (int n = 0; n < OPERANDS; n++) same[n] = all(*in[n]->first);
  if (joins(out, columns) && joins(*b, columns) && joins(*d, columns) && joins(*e, columns)) columns *= rows, rows = 1;
  for (ptrdiff_t r = 0; r < rows; r++) {
    float *to = out.first + r * out.ld;
    const float *x = b->first + r * b->ld, *y = d->first + r * d->ld, *z = e->first + r * e->ld;
    ptrdiff_t n = 0;
#pragma GCC unroll 4
    for (; n + LANES <= columns; n += LANES)
      store(to + n, adapted(operation, same, load(x + n), load(y + n), load(z + n)));
    if (n < columns) {
      const int left = (int)(columns - n);
      store_some(to + n,
                 adapted(operation, same, load_some(x + n, left), load_some(y + n, left), load_some(z + n, left)),
                 left);
    }
  }
}

void adapt(Operation operation, Block out, const Block *const in[OPERANDS], ptrdiff_t rows, ptrdiff_t columns) {
  if (operation == AVERAGE)
    adapt_each(AVERAGE, out, in, rows, columns);
  else if (operation == AVERAGE_SQUARES)
    adapt_each(AVERAGE_SQUARES, out, in, rows, columns);
  else
    adapt_each(ADAPTED, out, in, rows, columns);
}

void elementwise(Operation operation, Block out, Block a, Block b, Block c, ptrdiff_t rows, ptrdiff_t columns) {
  if (operation < ADD) b = a;
  if (operation < SELECT) c = b;
  if (operation != REPEAT && joins(out, columns) && joins(a, columns) && joins(b, columns) && joins(c, columns))
    columns *= rows, rows = 1;
  switch (operation) {
    CASE(COPY)
    CASE(NEGATIVE)
    CASE(SQUARE)
    CASE(SIGMOID)
    CASE(TANH)
    CASE(RELU)
    CASE(SQRT)
    CASE(RSQRT)
    CASE(ABS)
    CASE(SIGN)
    CASE(ADD)
    CASE(SUBTRACT)
    CASE(MULTIPLY)
    CASE(DIVIDE)
    CASE(MAXIMUM)
    CASE(MINIMUM)
    CASE(GREATER)
    CASE(GREATER_EQUAL)
    CASE(LESS)
    CASE(LESS_EQUAL)
    CASE(SELECT)
    CASE(MULTIPLY_ADD)
    CASE(MULTIPLY_SUBTRACT)
    case REPEAT:
      repeat_each(out, a, rows, columns);
      break;
    default:
      break;
  }
}
