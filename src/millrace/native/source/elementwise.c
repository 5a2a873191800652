#include "elementwise.h"

#include "exponential.h"

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

INLINE Vector computed(const Operation operation, Vector a, Vector b) {
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
    default:
      return a;
  }
}

INLINE void each(const Operation operation, Block out, Block a, Block b, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t r = 0; r < rows; r++) {
    float *to = out.first + r * out.ld;
    const float *x = a.first + r * a.ld, *y = b.first + r * b.ld;
    ptrdiff_t n = 0;
    for (; n + LANES <= columns; n += LANES) store(to + n, computed(operation, load(x + n), load(y + n)));
    if (n < columns) {
      float u[LANES] = {0}, v[LANES] = {0};
      memcpy(u, x + n, (columns - n) * sizeof(float));
      memcpy(v, y + n, (columns - n) * sizeof(float));
      store(u, computed(operation, load(u), load(v)));
      memcpy(to + n, u, (columns - n) * sizeof(float));
    }
  }
}

static void select_each(Block out, Block which, Block a, Block b, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t r = 0; r < rows; r++) {
    float *to = out.first + r * out.ld;
    const float *w = which.first + r * which.ld, *x = a.first + r * a.ld, *y = b.first + r * b.ld;
    ptrdiff_t n = 0;
    for (; n + LANES <= columns; n += LANES) store(to + n, chosen(load(w + n) != 0, load(x + n), load(y + n)));
    for (; n < columns; n++) to[n] = w[n] != 0 ? x[n] : y[n];
  }
}

static void repeat_each(Block out, Block a, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t r = 0; r < rows; r++)
    for (ptrdiff_t n = 0; n < columns; n++) out.first[r * out.ld + n] = a.first[r * a.ld];
}

#define CASE(name)                        \
  case name:                              \
    each(name, out, a, b, rows, columns); \
    break;

void elementwise(Operation operation, Block out, Block a, Block b, Block c, ptrdiff_t rows, ptrdiff_t columns) {
  if (operation < ADD) b = a;
  if (operation < SELECT) c = b;
  if (operation != REPEAT && out.ld == columns && a.ld == columns && b.ld == columns && c.ld == columns)
    columns *= rows, rows = 1;
  switch (operation) {
    CASE(COPY)
    CASE(NEGATIVE)
    CASE(SQUARE)
    CASE(SIGMOID)
    CASE(TANH)
    CASE(RELU)
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
    case SELECT:
      select_each(out, a, b, c, rows, columns);
      break;
    case REPEAT:
      repeat_each(out, a, rows, columns);
      break;
    case OPERATIONS:
      break;
  }
}
