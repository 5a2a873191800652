#include <stdlib.h>

#include "product.h"
#include "scan.h"

/* All threads work at each product, at some of its columns each, and wait for each other. Each has its columns of the
   matrices in its own cache, for all steps. 100 steps of an LSTM of 256 units take one row 0.60 ms for 1.18 of one
   thread (2 cores, Zen 4). How columns are shared out changes no sum. */

/* Numbers of a matrix, on average, that are worth waiting for each other. With an LSTM of 128 units a whole prediction
   takes the same time either way, with a GRU of 128 1.23 of one thread's: others want the second core, too, and have
   to be woken (2 cores, Zen 4). */
#define ENOUGH 100000
#define BESIDE 4 /* panels that one row passes at once: so many sums must be under way */

typedef struct Few {
  Part part;
  const Instruction **product; /* of a step */
  ptrdiff_t products, slices;
} Few;

/* One row by BESIDE panels: the same sums as product() makes, which has too few under way: 0.9 of its time. */
static void one_row(const float *x, const float *panel, float *out, ptrdiff_t all) {
  for (ptrdiff_t from = 0; from < all; from += DEPTH) {
    const ptrdiff_t depth = least(DEPTH, all - from);
    Vector sum[BESIDE][WIDE];
    UNROLL
    for (int p = 0; p < BESIDE; p++) UNROLL
    for (int v = 0; v < WIDE; v++) sum[p][v] = (Vector){0};
    for (ptrdiff_t k = from; k < from + depth; k++) UNROLL
    for (int p = 0; p < BESIDE; p++) UNROLL
    for (int v = 0; v < WIDE; v++) sum[p][v] += load(panel + (p * all + k) * COLUMNS + v * LANES) * x[k];
    UNROLL
    for (int p = 0; p < BESIDE; p++) UNROLL
    for (int v = 0; v < WIDE; v++) {
      float *to = out + p * COLUMNS + v * LANES;
      if (from) sum[p][v] += load(to);
      store(to, sum[p][v]);
    }
  }
}

static int is_first_by(const Few *f, ptrdiff_t product) {
  for (ptrdiff_t p = 0; p < product; p++)
    if (f->product[p]->b == f->product[product]->b) return 0;
  return 1;
}

static void multiply_slice(const void *data, ptrdiff_t turn, ptrdiff_t slice) {
  const Few *f = data;
  const Scan *s = f->part.scan;
  const Instruction *todo = f->product[turn % f->products];
  const Matrix *matrix = s->matrices + todo->b;
  const ptrdiff_t all = panels(matrix->columns);
  ptrdiff_t from = all * slice / f->slices;
  const ptrdiff_t until = all * (slice + 1) / f->slices;
  if (turn < f->products && is_first_by(f, turn))
    for (ptrdiff_t panel = from; panel < until; panel++) pack_panel(s, matrix, panel);
  if (f->part.rows == 1) {
    const float *x = block_of(&f->part, todo->a, 0).first, *w = s->panels[todo->b];
    float *out = block_of(&f->part, todo->out, 0).first;
    for (; from + BESIDE <= until && (from + BESIDE) * COLUMNS <= matrix->columns; from += BESIDE)
      one_row(x, w + from * COLUMNS * matrix->depth, out + from * COLUMNS, matrix->depth);
  }
  if (from < until) multiply(&f->part, todo, from, until);
}

static void go_on(const void *data, ptrdiff_t turn) {
  Few *f = (Few *)data;
  const Scan *s = f->part.scan;
  if (passes(&f->part, f->product[turn % f->products] + 1) < end_of(s)) return;
  const ptrdiff_t next = turn / f->products + 1;
  if (next == s->is->steps) return;
  f->part.step = nth_step(s, next);
  passes(&f->part, s->program);
}

void *scan_few_rows(const Threads *threads, Scan *s) {
  const Instruction *product[s->is->instructions];
  s->rows = s->batch;
  Few f = {.part = {.scan = s, .rows = s->rows, .step = nth_step(s, 0)}, .product = product};
  ptrdiff_t numbers = 0;
  for (const Instruction *todo = s->program; todo < end_of(s); todo++)
    if (is_product(todo)) {
      numbers += s->matrices[todo->b].depth * s->matrices[todo->b].columns;
      product[f.products++] = todo;
    }
  f.slices = numbers * s->rows < ENOUGH * f.products ? 1 : least(MOST_ITEMS, threads->count);
  f.part.memory = shared(most(1, memory_of(s)));
  if (!f.part.memory) return no_memory(s->frame);
  begin(&f.part);
  if (s->is->steps) passes(&f.part, s->program);
  in_turns(threads, multiply_slice, go_on, &f, s->is->steps * f.products, f.slices);
  free(f.part.memory);
  return NULL;
}
