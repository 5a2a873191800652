#include "tile.h"

/* 108 to 115 GFLOP/s on one core of a Zen 4 EPYC with AVX-512, from 4 rows on; the core's peak is about 118. */
INLINE void compute(const Tile *t, const int rows, const int wide) {
  Vector sum[ROWS][WIDE];
  const float *a[ROWS];
  UNROLL
  for (int r = 0; r < rows; r++) {
    a[r] = t->a + t->row[r];
    UNROLL
    for (int w = 0; w < wide; w++) sum[r][w] = (Vector){0};
  }
  const float *b = t->b;
  const ptrdiff_t ldb = t->ldb, depth = t->depth, *step = t->step;
  for (ptrdiff_t k = 0; k < depth; k++, b += ldb) {
    const ptrdiff_t s = step[k];
    Vector across[WIDE];
    UNROLL
    for (int w = 0; w < wide; w++) across[w] = load(b + w * LANES);
    UNROLL
    for (int r = 0; r < rows; r++) {
      const float x = a[r][s];
      UNROLL
      for (int w = 0; w < wide; w++) sum[r][w] += across[w] * x;
    }
  }
  const int columns = t->columns, add = t->add;
  UNROLL
  for (int r = 0; r < rows; r++) {
    float *out = t->out + t->place[r];
    UNROLL
    for (int w = 0; w < wide; w++) {
      const int left = columns - w * LANES;
      if (left >= LANES) {
        Vector all = sum[r][w];
        if (add) all += load(out + w * LANES);
        store(out + w * LANES, all);
      } else if (left > 0) {
        Vector all = sum[r][w];
        if (add) all += load_some(out + w * LANES, left);
        store_some(out + w * LANES, all, left);
      }
    }
  }
}

/* For so few columns that half a vector holds them. */
INLINE void compute_narrow(const Tile *t, const int rows) {
  Half sum[ROWS];
  const float *a[ROWS];
  UNROLL
  for (int r = 0; r < rows; r++) a[r] = t->a + t->row[r], sum[r] = (Half){0};
  const float *b = t->b;
  const ptrdiff_t ldb = t->ldb, depth = t->depth, *step = t->step;
  for (ptrdiff_t k = 0; k < depth; k++, b += ldb) {
    const ptrdiff_t s = step[k];
    const Half across = load_half(b);
    UNROLL
    for (int r = 0; r < rows; r++) sum[r] += across * a[r][s];
  }
  UNROLL
  for (int r = 0; r < rows; r++) {
    float *out = t->out + t->place[r];
    if (t->add) sum[r] += load_few(out, t->columns);
    store_few(out, sum[r], t->columns);
  }
}

#define CASE(n)                  \
  case n:                        \
    if (t->columns <= LANES / 2) \
      compute_narrow(t, n);      \
    else if (t->columns > LANES) \
      compute(t, n, WIDE);       \
    else                         \
      compute(t, n, 1);          \
    break;

void tile(const Tile *t, int rows) {
  switch (rows) {
    CASE(1)
    CASE(2)
    CASE(3)
    CASE(4)
    CASE(5) CASE(6)
#if ROWS > 6
        CASE(7) CASE(8)
#endif
  }
}
