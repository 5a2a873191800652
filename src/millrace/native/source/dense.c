#include "dense.h"

#include <stdlib.h>

#define STEP   8 /* rows of w at a time: the sums, which stay in the first cache, are loaded once for all of them */
#define ENOUGH (1 << 18) /* numbers of w, for up to 4 rows, that are worth a thread's while: 10 us */
#define PARTS  8 /* the depth, or the columns, are cut in so many parts at most, whatever the number of threads */

typedef struct Sum {
  const Dense *of;
  float *partial;          /* sums of the parts of the depth but for the first */
  ptrdiff_t parts, slices; /* of the depth; of the columns */
} Sum;

typedef struct Pass { /* a few rows of x by `deep` rows of w */
  const float *x, *w;
  float *out;
  ptrdiff_t depth, columns;     /* from row to row of x; of w and out */
  ptrdiff_t deep, first, until; /* columns */
  ptrdiff_t whole;              /* rows of w from which a whole vector may be read, though it is longer than the row */
} Pass;

/* Whole vectors, `wide` of them at a time: out (+)= x w. */
INLINE ptrdiff_t inner(const Pass *p, ptrdiff_t n, const int rows, const int wide, const ptrdiff_t deep,
                       const int add) {
  for (; n + wide * LANES <= p->until; n += wide * LANES) {
    Vector sum[ROWS][WIDE];
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int v = 0; v < wide; v++) sum[r][v] = add ? load(p->out + r * p->columns + n + v * LANES) : (Vector){0};
#pragma GCC unroll 8
    for (ptrdiff_t k = 0; k < deep; k++) UNROLL
    for (int v = 0; v < wide; v++) {
      const Vector w = load(p->w + k * p->columns + n + v * LANES);
      UNROLL
      for (int r = 0; r < rows; r++) sum[r][v] += w * p->x[r * p->depth + k];
    }
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int v = 0; v < wide; v++) store(p->out + r * p->columns + n + v * LANES, sum[r][v]);
  }
  return n;
}

/* The columns that fill no vector: out = x w. */
INLINE void edge(const Pass *p, const int rows) {
  const ptrdiff_t n = p->until - (p->until - p->first) % LANES;
  Vector sum[ROWS];
  UNROLL
  for (int r = 0; r < rows; r++) sum[r] = (Vector){0};
  for (ptrdiff_t k = 0; k < p->deep; k++) {
    Vector w = {0};
    if (k < p->whole)
      w = load(p->w + k * p->columns + n);
    else
      for (ptrdiff_t lane = 0; n + lane < p->until; lane++) w[lane] = p->w[k * p->columns + n + lane];
    UNROLL
    for (int r = 0; r < rows; r++) sum[r] += w * p->x[r * p->depth + k];
  }
  for (int r = 0; r < rows; r++)
    for (ptrdiff_t lane = 0; n + lane < p->until; lane++) p->out[r * p->columns + n + lane] = sum[r][lane];
}

INLINE void few(const Pass *all, const int rows) {
  Pass p = *all;
  const int wide = rows < 4 ? WIDE : 1; /* so that sums enough are under way at once */
  if (p.until - p.first >= LANES)
    for (ptrdiff_t k = 0; k < all->deep; k += STEP, p.x += STEP, p.w += STEP * p.columns) {
      const ptrdiff_t n = k + STEP > all->deep ? p.first : inner(&p, p.first, rows, wide, STEP, k > 0);
      inner(&p, n, rows, 1, least(STEP, all->deep - k), k > 0);
    }
  if ((p.until - p.first) % LANES) edge(all, rows);
}

static void rows_of(const Pass *p, ptrdiff_t rows) {
  switch (rows) {
#define CASE(n) \
  case n:       \
    few(p, n);  \
    break;
    CASE(1)
    CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if ROWS > 6
        CASE(7) CASE(8)
#endif
  }
}

static void multiply(const void *data, ptrdiff_t item) {
  const Sum *s = data;
  const Dense *d = s->of;
  const ptrdiff_t part = item / s->slices, slice = item % s->slices, vectors = divided_up(d->columns, LANES);
  const ptrdiff_t from = d->depth * part / s->parts, until = d->depth * (part + 1) / s->parts;
  float *out = part ? s->partial + (part - 1) * d->rows * d->columns : d->out;
  Pass p = {
      .depth = d->depth,
      .columns = d->columns,
      .deep = until - from,
      .w = d->w + from * d->columns,
      .first = vectors * slice / s->slices * LANES,
      .until = least(d->columns, vectors * (slice + 1) / s->slices * LANES),
  };
  const ptrdiff_t last = p.until - p.until % LANES + LANES; /* where the vector of the edge ends */
  p.whole = last <= d->columns ? p.deep : d->depth - divided_up(last - d->columns, d->columns) - from;
  for (ptrdiff_t r = 0; r < d->rows; r += ROWS) {
    p.x = d->x + r * d->depth + from;
    p.out = out + r * d->columns;
    rows_of(&p, least(ROWS, d->rows - r));
  }
}

void *dense(const Frame *frame, const Dense *d) {
  const ptrdiff_t pieces = most(1, least(PARTS, d->depth * d->columns * divided_up(d->rows, 4) / ENOUGH));
  const int deep = d->depth >= 2 * STEP * pieces;
  Sum s = {.of = d, .parts = deep ? pieces : 1, .slices = deep ? 1 : least(pieces, divided_up(d->columns, LANES))};
  if (s.parts > 1 && !(s.partial = shared((s.parts - 1) * d->rows * d->columns))) return no_memory(frame);
  const Threads threads = threads_of(frame);
  parallel(&threads, multiply, &s, s.parts * s.slices);
  for (ptrdiff_t part = 1; part < s.parts; part++) {
    const float *partial = s.partial + (part - 1) * d->rows * d->columns;
    for (ptrdiff_t n = 0; n < d->rows * d->columns; n++) d->out[n] += partial[n];
  }
  free(s.partial);
  return NULL;
}

ROUTINE(dense) {
  Buffer **in = frame->arguments.buffers, *out = frame->results.buffers[0];
  const int64_t *x = in[0]->shape, *w = in[1]->shape;
  if (w[0] == 0) memset(out->data, 0, x[0] * w[1] * sizeof(float));
  if (x[0] * w[0] * w[1] == 0) return NULL;
  return dense(frame, &(Dense){
                          .x = in[0]->data,
                          .w = in[1]->data,
                          .out = out->data,
                          .rows = x[0],
                          .depth = w[0],
                          .columns = w[1],
                      });
}
