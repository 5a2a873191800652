#include <stdlib.h>

#include "parallel.h"
#include "product.h"

/* The gradient of a dense layer's weights: out[m, n] = sum over k of x[k, m] * g[k, n]. The left factor is read down
   its columns where it lies; the right one is put into panels once. */

#define TOGETHER 64 /* rows of the result that a thread takes at a time */

typedef struct Factors {
  const float *x, *g;
  float *out, *packed;
  ptrdiff_t depth, rows, columns, parts; /* parts: of the columns, where rows are few */
} Factors;

static void pack_gradient(const void *data, ptrdiff_t item) {
  const Factors *f = data;
  ptrdiff_t *at = scratch(1, f->depth);
  for (ptrdiff_t k = 0; k < f->depth; k++) at[k] = k * f->columns;
  pack(f->packed + item * f->depth * COLUMNS, f->g + item * COLUMNS, at, f->depth, 1,
       least(COLUMNS, f->columns - item * COLUMNS));
}

static void multiply(const void *data, ptrdiff_t item) {
  const Factors *f = data;
  const ptrdiff_t first = item / f->parts * TOGETHER, rows = least(TOGETHER, f->rows - first), part = item % f->parts;
  const ptrdiff_t all = panels(f->columns), from = all * part / f->parts, until = all * (part + 1) / f->parts;
  ptrdiff_t *row = scratch(1, 2 * rows + f->depth), *place = row + rows, *step = place + rows;
  for (ptrdiff_t r = 0; r < rows; r++) row[r] = first + r, place[r] = (first + r) * f->columns;
  for (ptrdiff_t k = 0; k < f->depth; k++) step[k] = k * f->rows;
  product(&(Product){
      .a = f->x,
      .row = row,
      .rows = rows,
      .step = step,
      .depth = f->depth,
      .b = f->packed + from * f->depth * COLUMNS,
      .out = f->out + from * COLUMNS,
      .place = place,
      .columns = least(until * COLUMNS, f->columns) - from * COLUMNS,
  });
}

ROUTINE(dense_gradient) {
  const int64_t *x = frame->arguments.buffers[0]->shape, *g = frame->arguments.buffers[1]->shape;
  Factors f = {.x = argument(frame, 0), .g = argument(frame, 1), .out = result(frame, 0)};
  f.depth = x[0], f.rows = x[1], f.columns = g[1];
  f.packed = shared(panels(f.columns) * f.depth * COLUMNS);
  if (!f.packed) return no_memory(frame);
  const Threads threads = threads_of(frame);
  const ptrdiff_t bands = divided_up(f.rows, TOGETHER);
  f.parts = least(panels(f.columns), divided_up(4 * threads.count, bands));
  parallel(&threads, pack_gradient, &f, panels(f.columns));
  parallel(&threads, multiply, &f, bands * f.parts);
  free(f.packed);
  return NULL;
}
