/* The exponential of numbers in a vector, and choices between vectors. */
#ifndef EXPONENTIAL_H
#define EXPONENTIAL_H

#include "vector.h"

typedef int Whole __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

INLINE Vector all(float x) { return x - (Vector){0}; }
INLINE Vector chosen(Whole which, Vector a, Vector b) { return (Vector)(((Whole)a & which) | ((Whole)b & ~which)); }
INLINE Vector at_most(Vector x, float most) { return chosen(x > most, all(most), x); } /* NaN stays NaN */
INLINE Vector at_least(Vector x, float least) { return chosen(x < least, all(least), x); }

/* e^x for x in [-87, 88], within 1.2e-7 of it; no number beyond. Cephes expf: x = n log 2 + r, |r| < 0.35. */
INLINE Vector exponential_within(Vector x) {
  const float magic = 12582912.0f; /* 1.5 * 2^23: what is added to it is rounded to a whole number */
  const Vector shifted = x * 1.44269504f + magic, n = shifted - magic;
  const Vector r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Vector p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  return (Vector)((Whole)p + ((Whole)shifted << 23)); /* the low bits of `shifted` are n */
}

/* e^x, beyond [-87, 88] as at the ends. */
INLINE Vector exponential(Vector x) { return exponential_within(at_least(at_most(x, 88.0f), -87.0f)); }

#endif
