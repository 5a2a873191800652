#include <stdlib.h>

#include "parallel.h"
#include "product.h"

/* The gradient of a dense layer's weights: out[m, n] = sum over k of x[k, m] * g[k, n]. The left factor is read down
   its columns where it lies; the right one is put into panels once. */

#define MANY     512 /* rows up to which the result of a slice stays in the second cache */
#define TOGETHER 64  /* rows of the result that a thread takes at a time */

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

#define SLICES 4 /* of the columns, where the sums are long */

/* Columns of the left factor, those of a tile side by side: from row to row of it they may lie in the same few places
   of the first cache. */
static void pack_left(float *left, const float *x, ptrdiff_t deep, ptrdiff_t rows, ptrdiff_t together) {
  for (ptrdiff_t first = 0; first < rows; first += together, left += deep * ROWS) {
    const ptrdiff_t count = least(ROWS, rows - first);
    for (ptrdiff_t k = 0; k < deep; k++)
      if (count == ROWS)
        memcpy(left + k * ROWS, x + k * rows + first, ROWS * sizeof(float));
      else
        for (ptrdiff_t n = 0; n < count; n++) left[k * ROWS + n] = x[k * rows + first + n];
  }
}

/* Long sums, a piece at a time: what is put into panels and the result both stay in the second cache, and both factors
   come from memory once. [3584, 28] by [3584, 512], one core: 1.2 ms for the 1.9 of putting all into panels first; with
   128 rows the same, 4.8 (Zen 4). */
static void multiply_deep(const void *data, ptrdiff_t item) {
  const Factors *f = data;
  const ptrdiff_t all = panels(f->columns), from = all * item / f->parts, until = all * (item + 1) / f->parts;
  const ptrdiff_t column = from * COLUMNS, wide = least(until * COLUMNS, f->columns) - column;
  const ptrdiff_t together = rows_together(f->rows), tiles = divided_up(f->rows, together);
  ptrdiff_t *row = scratch(1, 2 * f->rows + 2 * DEPTH), *place = row + f->rows, *step = place + f->rows,
            *at = step + DEPTH;
  float *packed = scratch(2, ((until - from) * COLUMNS + tiles * ROWS) * DEPTH / 2);
  float *left = packed + (until - from) * COLUMNS * DEPTH;
  for (ptrdiff_t r = 0; r < f->rows; r++) place[r] = r * f->columns;
  for (ptrdiff_t k = 0; k < DEPTH; k++) step[k] = k * ROWS, at[k] = k * f->columns;
  for (ptrdiff_t first = 0; first < f->depth; first += DEPTH) {
    const ptrdiff_t deep = least(DEPTH, f->depth - first);
    for (ptrdiff_t r = 0; r < f->rows; r++) row[r] = r / together * deep * ROWS + r % together;
    pack(packed, f->g + first * f->columns + column, at, deep, 1, wide);
    pack_left(left, f->x + first * f->rows, deep, f->rows, together);
    product(&(Product){
        .a = left,
        .row = row,
        .rows = f->rows,
        .step = step,
        .depth = deep,
        .b = packed,
        .out = f->out + column,
        .place = place,
        .columns = wide,
        .add = first > 0,
    });
  }
}

ROUTINE(dense_gradient) {
  const int64_t *x = frame->arguments.buffers[0]->shape, *g = frame->arguments.buffers[1]->shape;
  Factors f = {.x = argument(frame, 0), .g = argument(frame, 1), .out = result(frame, 0)};
  f.depth = x[0], f.rows = x[1], f.columns = g[1];
  if (f.depth > 2 * DEPTH && f.rows <= MANY) {
    const Threads threads = threads_of(frame);
    f.parts = least(panels(f.columns), SLICES);
    parallel(&threads, multiply_deep, &f, f.parts);
    return NULL;
  }
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
