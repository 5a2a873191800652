#include "dense.h"

#include <stdlib.h>

#define STEP 8 /* rows of w at a time: the sums, which stay in the first cache, are loaded once for all of them */
/* Rows of w that are fetched ahead, where they are short: 0.8 of the time for three by three taps of [512, 512] out of
   memory. Long ones the processor fetches by itself: for 4096 columns it would take up to 1.1 times as long (Zen 4). */
#define AHEAD 16
#define SHORT 1024

#define ENOUGH       (1 << 18) /* numbers of w, for up to 4 rows, that are worth waking a thread: 10 us */
#define ENOUGH_AWAKE (1 << 16) /* that are worth its while if it is awake */
#define PARTS  8 /* the depth, or the columns, are cut in so many parts at most, whatever the number of threads */

typedef struct Sum {
  const Dense *of;
  float *partial;          /* sums of the parts of the depth but for the first */
  ptrdiff_t parts, slices; /* of the depth; of the columns */
} Sum;

typedef struct Pass { /* a few rows of x by `deep` rows of w */
  const float *x[ROWS], *w;
  float *out[ROWS];
  ptrdiff_t columns;            /* from row to row of w */
  ptrdiff_t deep, first, until; /* columns */
  ptrdiff_t whole;              /* rows of w from which a whole vector may be read, though it is longer than the row */
  ptrdiff_t ahead;              /* numbers of w that are fetched ahead, or 0 */
  int add;
} Pass;

/* Whole vectors, `wide` of them at a time: out (+)= x w. */
INLINE ptrdiff_t inner(const Pass *p, ptrdiff_t n, const int rows, const int wide, const ptrdiff_t deep,
                       const int add) {
  for (; n + wide * LANES <= p->until; n += wide * LANES) {
    Vector sum[ROWS][WIDE];
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int v = 0; v < wide; v++) sum[r][v] = add ? load(p->out[r] + n + v * LANES) : (Vector){0};
#pragma GCC unroll 8
    for (ptrdiff_t k = 0; k < deep; k++) UNROLL
    for (int v = 0; v < wide; v++) {
      const float *at = p->w + k * p->columns + n + v * LANES;
      const Vector w = load(at);
      if (p->ahead) __builtin_prefetch(at + p->ahead);
      UNROLL
      for (int r = 0; r < rows; r++) sum[r][v] += w * p->x[r][k];
    }
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int v = 0; v < wide; v++) store(p->out[r] + n + v * LANES, sum[r][v]);
  }
  return n;
}

/* The columns that fill no vector: out (+)= x w. */
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
    for (int r = 0; r < rows; r++) sum[r] += w * p->x[r][k];
  }
  for (int r = 0; r < rows; r++)
    for (ptrdiff_t lane = 0; n + lane < p->until; lane++)
      p->out[r][n + lane] = p->add ? p->out[r][n + lane] + sum[r][lane] : sum[r][lane];
}

INLINE void few(const Pass *all, const int rows) {
  Pass p = *all;
  const int wide = rows < 4 ? WIDE : 1; /* so that sums enough are under way at once */
  if (p.until - p.first >= LANES)
    for (ptrdiff_t k = 0; k < all->deep; k += STEP, p.w += STEP * p.columns) {
      const ptrdiff_t n = k + STEP > all->deep ? p.first : inner(&p, p.first, rows, wide, STEP, p.add);
      inner(&p, n, rows, 1, least(STEP, all->deep - k), p.add);
      UNROLL
      for (int r = 0; r < rows; r++) p.x[r] += STEP;
      p.add = 1;
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
    CASE(2)
    CASE(3)
    CASE(4)
    CASE(5) CASE(6)
#if ROWS > 6
        CASE(7) CASE(8)
#endif
  }
}

/* Rows `from` to `until` of w, all of one tap, by the rows of x that meet it. */
static void by_tap(const Dense *d, Pass p, float *out, ptrdiff_t tap, ptrdiff_t from, ptrdiff_t until) {
  const ptrdiff_t last = p.until - p.until % LANES + LANES; /* where the vector of the edge ends */
  const ptrdiff_t beyond = divided_up(most(0, last - d->columns), d->columns);
  p.deep = until - from;
  p.w = d->w + from * d->columns;
  p.whole = d->taps * d->depth - beyond - from;
  const Meeting *meeting = d->meetings + tap * d->rows;
  ptrdiff_t left = d->count[tap];
  for (ptrdiff_t turns = divided_up(left, ROWS); turns > 0; turns--) { /* none of them much shorter than the others */
    const ptrdiff_t rows = divided_up(left, turns);
    for (ptrdiff_t r = 0; r < rows; r++, meeting++) {
      p.x[r] = meeting->x + from - tap * d->depth;
      p.out[r] = out + meeting->row * d->columns;
    }
    rows_of(&p, rows);
    left -= rows;
  }
}

static void multiply(const void *data, ptrdiff_t item) {
  const Sum *s = data;
  const Dense *d = s->of;
  const ptrdiff_t part = item / s->slices, slice = item % s->slices, vectors = divided_up(d->columns, LANES);
  const ptrdiff_t all = d->taps * d->depth, from = all * part / s->parts, until = all * (part + 1) / s->parts;
  float *out = part ? s->partial + (part - 1) * d->rows * d->columns : d->out;
  const Pass p = {
      .columns = d->columns,
      .ahead = d->columns > SHORT ? 0 : AHEAD * d->columns,
      .first = vectors * slice / s->slices * LANES,
      .until = least(d->columns, vectors * (slice + 1) / s->slices * LANES),
      .add = d->taps > 1,
  };
  if (p.add)
    for (ptrdiff_t r = 0; r < d->rows; r++)
      memset(out + r * d->columns + p.first, 0, (p.until - p.first) * sizeof(float));
  for (ptrdiff_t k = from, tap = from / d->depth; k < until; k = ++tap * d->depth)
    by_tap(d, p, out, tap, k, least(until, (tap + 1) * d->depth));
}

void *dense(const Frame *frame, const Dense *d) {
  const ptrdiff_t depth = d->taps * d->depth;
  const ptrdiff_t enough = d->awake ? ENOUGH_AWAKE : ENOUGH;
  const ptrdiff_t pieces = most(1, least(PARTS, depth * d->columns * divided_up(d->rows, 4) / enough));
  const int deep = depth >= 2 * STEP * pieces;
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
  const ptrdiff_t rows = x[0], depth = w[0];
  Meeting *meetings = malloc(rows * sizeof *meetings);
  if (!meetings) return no_memory(frame);
  for (ptrdiff_t r = 0; r < rows; r++) meetings[r] = (Meeting){argument(frame, 0) + r * depth, r};
  void *error = dense(frame, &(Dense){
                                 .meetings = meetings,
                                 .count = &rows,
                                 .taps = 1,
                                 .w = in[1]->data,
                                 .out = out->data,
                                 .rows = rows,
                                 .depth = depth,
                                 .columns = w[1],
                                 .awake = how_many(frame) > 0,
                             });
  free(meetings);
  return error;
}
