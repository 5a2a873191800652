/* Rows of numbers, a vector at a time: what is done along a row, and sums and maxima of one. */
#ifndef ROW_H
#define ROW_H

#include "exponential.h"
#include "parallel.h"

#define ALONG 4 /* vectors of a row at a time: as many sums in turns as hide how long an addition takes */

/* For each vector of n numbers: `at`, where it begins, `count`, how many of its lanes there are, and `turn`, which of
   the sums is its own. */
#define EACH_VECTOR(n, ...)                                   \
  do {                                                        \
    ptrdiff_t at = 0;                                         \
    for (; at + ALONG * LANES <= (n);) {                      \
      UNROLL                                                  \
      for (int turn = 0; turn < ALONG; turn++, at += LANES) { \
        enum { count = LANES };                               \
        __VA_ARGS__                                           \
      }                                                       \
    }                                                         \
    for (; at + LANES <= (n); at += LANES) {                  \
      enum { count = LANES, turn = 0 };                       \
      __VA_ARGS__                                             \
    }                                                         \
    if (at < (n)) {                                           \
      const int count = (int)((n) - at);                      \
      enum { turn = 1 };                                      \
      __VA_ARGS__                                             \
    }                                                         \
  } while (0)

/* The lanes that there are; the others count as 0. */
INLINE Vector take(const float *from, int count) { return count == LANES ? load(from) : load_some(from, count); }
INLINE void put(float *to, Vector vector, int count) {
  if (count == LANES)
    store(to, vector);
  else
    store_some(to, vector, count);
}

#if LANES == 16
#define NUMBERED 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define EIGHTS   8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7
#define FOURS    4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11
#define TWOS     2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
#define ONES     1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#elif LANES == 8
#define NUMBERED 0, 1, 2, 3, 4, 5, 6, 7
#define FOURS    4, 5, 6, 7, 0, 1, 2, 3
#define TWOS     2, 3, 0, 1, 6, 7, 4, 5
#define ONES     1, 0, 3, 2, 5, 4, 7, 6
#else
#define NUMBERED 0, 1, 2, 3
#define TWOS     2, 3, 0, 1
#define ONES     1, 0, 3, 2
#endif

INLINE Vector only(Vector x, int count, float else_) {
  return count == LANES ? x : chosen((Whole){NUMBERED} < count, x, all(else_));
}
INLINE Vector greater(Vector a, Vector b) { return chosen(a > b, a, b); }

/* The sum and the greatest of all lanes, in every lane. */
INLINE Vector total(Vector x) {
#if LANES == 16
  x += SHUFFLE(x, x, EIGHTS);
#endif
#if LANES >= 8
  x += SHUFFLE(x, x, FOURS);
#endif
  x += SHUFFLE(x, x, TWOS);
  return x + SHUFFLE(x, x, ONES);
}

INLINE Vector greatest(Vector x) {
#if LANES == 16
  x = greater(x, SHUFFLE(x, x, EIGHTS));
#endif
#if LANES >= 8
  x = greater(x, SHUFFLE(x, x, FOURS));
#endif
  x = greater(x, SHUFFLE(x, x, TWOS));
  return greater(x, SHUFFLE(x, x, ONES));
}

INLINE Vector total_of(const Vector sums[ALONG]) { return total((sums[0] + sums[1]) + (sums[2] + sums[3])); }

/* Two sums of `length` numbers each, made in parts that lie one behind the other. */
INLINE void add_parts(const float *parts, ptrdiff_t count, ptrdiff_t length, float *first, float *second) {
  memcpy(first, parts, length * sizeof(float));
  memcpy(second, parts + length, length * sizeof(float));
  for (ptrdiff_t part = 1; part < count; part++)
    for (ptrdiff_t n = 0; n < length; n++) {
      first[n] += parts[part * 2 * length + n];
      second[n] += parts[(part * 2 + 1) * length + n];
    }
}

#endif
