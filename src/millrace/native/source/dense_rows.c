#include "parallel.h"
#include "pass.h"
#include "product.h"

/* Many rows by a matrix, out[r, n] = sum over k of x[r, k] * w[k, n], and the operations that follow on each number of
   the result, while it lies in the second cache. A thread takes some columns at a time: what it puts into a panel it
   uses itself, for all rows or, where there are few columns, for a band of them. */

#define TOGETHER 4   /* panels at a time, at most: their rows of w, side by side, come from memory together */
#define BAND     256 /* rows at least, for which a matrix is put into panels once more */

typedef struct Rows {
  const Frame *frame;
  const Pass *after;
  const float *x, *w;
  float *out;
  ptrdiff_t rows, depth, columns, bands, slices; /* slices: of the columns */
  int turned;                                    /* w lies as [columns, depth] */
} Rows;

static void multiply(const void *data, ptrdiff_t item) {
  const Rows *d = data;
  const ptrdiff_t all = panels(d->columns), from = all * (item % d->slices) / d->slices;
  const ptrdiff_t until = all * (item % d->slices + 1) / d->slices, column = from * COLUMNS;
  const ptrdiff_t wide = least(until * COLUMNS, d->columns) - column, band = item / d->slices;
  const ptrdiff_t first = d->rows * band / d->bands, rows = d->rows * (band + 1) / d->bands - first;
  const ptrdiff_t across = d->turned ? d->depth : 1;
  float *packed = scratch(2, (until - from) * most(1, d->depth) * COLUMNS / 2);
  ptrdiff_t *row = scratch(1, 2 * rows + 2 * d->depth), *place = row + rows, *step = place + rows,
            *at = step + d->depth;
  for (ptrdiff_t r = 0; r < rows; r++) row[r] = (first + r) * d->depth, place[r] = (first + r) * d->columns;
  for (ptrdiff_t k = 0; k < d->depth; k++) step[k] = k, at[k] = d->turned ? k : k * d->columns;
  pack(packed, d->w + column * across, at, d->depth, across, wide);
  product(&(Product){
      .a = d->x,
      .row = row,
      .rows = rows,
      .step = step,
      .depth = d->depth,
      .b = packed,
      .out = d->out + column,
      .place = place,
      .columns = wide,
  });
  if (d->after->steps) pass_over(d->frame, d->after, first, rows, column, wide, d->columns);
}

/* `how`: whether w is turned, then the pass; the product is its result 0 before it begins. */
ROUTINE(dense_rows) {
  const int64_t *x = frame->arguments.buffers[0]->shape, *out = frame->results.buffers[0]->shape;
  Rows d = {.frame = frame, .x = argument(frame, 0), .w = argument(frame, 1), .out = result(frame, 0)};
  d.rows = x[0], d.depth = x[1], d.columns = out[1];
  d.turned = how(frame)[0] != 0, d.after = decided(frame, how(frame) + 1);
  const Threads threads = threads_of(frame);
  d.slices = least(panels(d.columns), most(2 * threads.count, divided_up(panels(d.columns), TOGETHER)));
  d.bands = least(divided_up(4 * threads.count, d.slices), most(1, d.rows / BAND));
  parallel(&threads, multiply, &d, d.bands * d.slices);
  return NULL;
}
