#include <math.h>
#include <stdlib.h>

#include "row.h"

/* Sums of columns and of rows, the greatest number of each row, and whether all numbers are finite. */

#define NUMBERS 16384 /* of a part, about: 64 KB */

typedef struct Columns {
  const float *x;
  float *sums; /* [parts, columns] */
  ptrdiff_t rows, columns, parts;
} Columns;

static void sum_part(const void *data, ptrdiff_t part) {
  const Columns *c = data;
  const ptrdiff_t from = c->rows * part / c->parts, until = c->rows * (part + 1) / c->parts;
  for (ptrdiff_t at = 0; at < c->columns; at += LANES) {
    const int count = (int)least(LANES, c->columns - at);
    Vector sum[4] = {0};
    ptrdiff_t r = from;
    for (; r + 4 <= until; r += 4) UNROLL
    for (int n = 0; n < 4; n++) sum[n] += take(c->x + (r + n) * c->columns + at, count);
    for (; r < until; r++) sum[0] += take(c->x + r * c->columns + at, count);
    put(c->sums + part * c->columns + at, (sum[0] + sum[1]) + (sum[2] + sum[3]), count);
  }
}

ROUTINE(column_sums) {
  const Buffer *x = frame->arguments.buffers[0];
  Columns c = {.x = x->data, .columns = elements(frame->results.buffers[0])};
  c.rows = elements(x) / c.columns;
  c.parts = most(1, least(c.rows / 4, c.rows * c.columns / NUMBERS));
  c.sums = shared(c.parts * c.columns);
  if (!c.sums) return no_memory(frame);
  const Threads threads = threads_of(frame);
  parallel(&threads, sum_part, &c, c.parts);
  float *out = result(frame, 0);
  memcpy(out, c.sums, c.columns * sizeof(float));
  for (ptrdiff_t part = 1; part < c.parts; part++)
    for (ptrdiff_t n = 0; n < c.columns; n++) out[n] += c.sums[part * c.columns + n];
  free(c.sums);
  return NULL;
}

typedef struct Rows {
  const float *x;
  float *out;
  ptrdiff_t rows, columns, together;
} Rows;

/* The sum; or the greater, and NaN where there is one. */
INLINE Vector folded(Vector a, Vector b, const int maxima) {
  if (maxima) return chosen((a > b) | (a != a), a, b);
  return a + b;
}

INLINE void fold_rows(const Rows *r, ptrdiff_t part, const int maxima) {
  for (ptrdiff_t row = part * r->together; row < least(r->rows, (part + 1) * r->together); row++) {
    const float *x = r->x + row * r->columns;
    const float start = maxima ? -INFINITY : 0;
    Vector folds[ALONG] = {all(start), all(start), all(start), all(start)};
    EACH_VECTOR(r->columns, {
      const Vector now = only(take(x + at, count), count, start);
      folds[turn] = folded(folds[turn], now, maxima);
    });
    Vector fold = folds[0];
    for (int n = 1; n < ALONG; n++) fold = folded(fold, folds[n], maxima);
    float one = fold[0];
    for (int lane = 1; lane < LANES; lane++) {
      if (!maxima) one += fold[lane];
      if (maxima && !(one >= fold[lane] || one != one)) one = fold[lane];
    }
    r->out[row] = one;
  }
}

static void sum_rows(const void *data, ptrdiff_t part) { fold_rows(data, part, 0); }
static void maxima_of_rows(const void *data, ptrdiff_t part) { fold_rows(data, part, 1); }

static void *each_row(const Frame *frame, void (*work)(const void *, ptrdiff_t)) {
  const Buffer *x = frame->arguments.buffers[0];
  Rows r = {.x = x->data, .out = result(frame, 0), .rows = elements(frame->results.buffers[0])};
  r.columns = elements(x) / r.rows;
  r.together = most(1, NUMBERS / most(1, r.columns));
  const Threads threads = threads_of(frame);
  parallel(&threads, work, &r, divided_up(r.rows, r.together));
  return NULL;
}

ROUTINE(row_sums) { return each_row(frame, sum_rows); }
ROUTINE(row_maxima) { return each_row(frame, maxima_of_rows); }

typedef struct Looked {
  const float *x;
  ptrdiff_t numbers, parts;
  float *sums; /* [parts]: 0, or NaN */
} Looked;

static void look(const void *data, ptrdiff_t part) {
  const Looked *l = data;
  const float *x = l->x + l->numbers * part / l->parts, *end = l->x + l->numbers * (part + 1) / l->parts;
  Vector sum[4] = {0};
  for (; x + 4 * LANES <= end; x += 4 * LANES) UNROLL
  for (int n = 0; n < 4; n++) sum[n] += load(x + n * LANES) * 0.0f; /* infinity times 0 is NaN */
  for (; x < end; x += LANES) sum[0] += load_some(x, (int)least(LANES, end - x)) * 0.0f;
  const Vector all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
  float total = 0;
  for (int lane = 0; lane < LANES; lane++) total += all[lane];
  l->sums[part] = total;
}

/* result: 1 where all numbers are finite, else 0 */
ROUTINE(finite) {
  Looked l = {.x = argument(frame, 0), .numbers = elements(frame->arguments.buffers[0])};
  l.parts = most(1, l.numbers / NUMBERS);
  l.sums = shared(l.parts);
  if (!l.sums) return no_memory(frame);
  const Threads threads = threads_of(frame);
  parallel(&threads, look, &l, l.parts);
  float total = 0;
  for (ptrdiff_t part = 0; part < l.parts; part++) total += l.sums[part];
  *result(frame, 0) = total == 0;
  free(l.sums);
  return NULL;
}
