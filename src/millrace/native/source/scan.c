#include <stdlib.h>

#include "product.h"
#include "scan.h"

/* A loop over time whose steps treat each row of the batch by itself: each thread takes some rows through all steps,
   and waits for nobody, but for scan_few_rows.c. What a step does is given as a program, which ops/scan_rows.py writes.
   Arguments: first states [batch, *], sequences [steps, batch, *], constants; results: last states, then what steps put
   out, over time. */

#define MOST  64        /* rows that go together: a panel of a matrix is read from the second cache for all of them */
#define WORTH (1 << 19) /* multiplications from which on a second thread is woken: 10 us of one */

/* With fewer rows than this for each thread, all threads work at each product together: 0.57 of the time for two rows
   of an LSTM of 256 units (2 cores, Zen 4). With more, arithmetic takes as long as the matrices' way to it. */
#define TOGETHER 2

/* Rows of a place from row `first` of the part on. */
Block block_of(const Part *part, int64_t number, ptrdiff_t first) {
  const Scan *s = part->scan;
  const Place *place = s->places + number;
  const ptrdiff_t row = part->from + first;
  float *at;
  switch (place->kind) {
    case ARGUMENT: {
      const int over_time = place->index >= s->is->states && place->index < s->is->states + s->is->sequences;
      at = argument(s->frame, (int)place->index) + (row + (over_time ? part->step * s->batch : 0)) * place->ld;
      break;
    }
    case RESULT:
      at = result(s->frame, (int)place->index) +
           place->ld * (row + (place->index >= s->is->states ? part->step * s->batch : 0));
      break;
    case KEPT:
      at = part->memory + s->is->single + place->index * s->rows + first * place->ld;
      break;
    default: /* of the block alone, or single rows before all others */
      at = place->ld ? part->memory + s->is->single + s->is->kept * s->rows + place->index * s->is->block
                     : part->memory + place->index;
  }
  return (Block){at + place->offset, place->ld};
}

void multiply(const Part *part, const Instruction *todo, ptrdiff_t from, ptrdiff_t until) {
  const Scan *s = part->scan;
  const Matrix *matrix = s->matrices + todo->b;
  const Block a = block_of(part, todo->a, 0), out = block_of(part, todo->out, 0);
  ptrdiff_t *row = scratch(1, 2 * part->rows + matrix->depth), *place = row + part->rows, *step = place + part->rows;
  for (ptrdiff_t r = 0; r < part->rows; r++) row[r] = r * a.ld, place[r] = r * out.ld;
  for (ptrdiff_t k = 0; k < matrix->depth; k++) step[k] = k;
  product(&(Product){
      .a = a.first,
      .row = row,
      .rows = part->rows,
      .step = step,
      .depth = matrix->depth,
      .b = s->panels[todo->b] + from * COLUMNS * matrix->depth,
      .out = out.first + from * COLUMNS,
      .place = place,
      .columns = least(matrix->columns, until * COLUMNS) - from * COLUMNS,
  });
}

const Instruction *passes(const Part *part, const Instruction *from) {
  const Scan *s = part->scan;
  const Instruction *until = from;
  while (until < end_of(s) && !is_product(until)) until++;
  for (ptrdiff_t first = 0; first < part->rows; first += s->is->block) {
    const ptrdiff_t rows = least(s->is->block, part->rows - first);
    for (const Instruction *todo = from; todo < until; todo++)
      elementwise((Operation)todo->operation, block_of(part, todo->out, first), block_of(part, todo->a, first),
                  block_of(part, todo->b, first), block_of(part, todo->c, first), rows, todo->columns);
  }
  return until;
}

size_t memory_of(const Scan *s) { return s->is->single + s->is->kept * s->rows + s->is->passing * s->is->block; }

void begin(const Part *part) {
  const Scan *s = part->scan;
  const Header *is = s->is;
  for (const Number *number = s->numbers; number < s->numbers + is->numbers; number++) {
    const int32_t bits = (int32_t)number->bits;
    for (ptrdiff_t n = 0; n < number->columns; n++) memcpy(part->memory + number->place + n, &bits, sizeof bits);
  }
  for (int64_t k = 0; k < is->states; k++) {
    const int64_t wide = s->frame->results.buffers[k]->shape[1];
    memcpy(result(s->frame, (int)k) + part->from * wide, argument(s->frame, (int)k) + part->from * wide,
           part->rows * wide * sizeof(float));
  }
}

static void run_part(const void *data, ptrdiff_t item) {
  const Scan *s = data;
  Part part = {.scan = s, .from = item * s->rows};
  part.rows = least(s->rows, s->batch - part.from);
  part.memory = scratch(0, divided_up(memory_of(s), 2));
  begin(&part);
  for (int64_t n = 0; n < s->is->steps; n++) {
    part.step = nth_step(s, n);
    const Instruction *todo = passes(&part, s->program);
    while (todo < end_of(s)) {
      multiply(&part, todo, 0, panels(s->matrices[todo->b].columns));
      todo = passes(&part, todo + 1);
    }
  }
}

void pack_panel(const Scan *s, const Matrix *matrix, ptrdiff_t panel) {
  ptrdiff_t *at = scratch(1, matrix->depth);
  for (ptrdiff_t k = 0; k < matrix->depth; k++) at[k] = matrix->turned ? k : k * matrix->columns;
  const ptrdiff_t across = matrix->turned ? matrix->depth : 1, column = panel * COLUMNS;
  pack(s->panels[matrix - s->matrices] + column * matrix->depth,
       argument(s->frame, (int)matrix->argument) + column * across, at, matrix->depth, across,
       least(COLUMNS, matrix->columns - column));
}

static void pack_matrix(const void *data, ptrdiff_t item) {
  const Scan *s = data;
  const Matrix *matrix = s->matrices;
  ptrdiff_t panel = item;
  for (; panel >= panels(matrix->columns); matrix++) panel -= panels(matrix->columns);
  pack_panel(s, matrix, panel);
}

/* Rows of a part, the same for all but the last: whole tiles where there are so many. */
static ptrdiff_t rows_of_part(ptrdiff_t batch, ptrdiff_t threads) {
  const ptrdiff_t share = divided_up(batch, threads);
  return share < ROWS ? share : least(MOST, divided_up(share, ROWS) * ROWS);
}

ROUTINE(scan) {
  const int64_t *given = how(frame);
  Scan s = {.frame = frame, .is = (const Header *)given};
  s.places = (const Place *)(s.is + 1);
  s.program = (const Instruction *)(s.places + s.is->places);
  s.matrices = (const Matrix *)(s.program + s.is->instructions);
  s.numbers = (const Number *)(s.matrices + s.is->matrices);
  s.batch = frame->results.buffers[0]->shape[0];
  if (!s.batch) return NULL;
  ptrdiff_t all = 0, floats = 0, numbers = 0;
  for (int64_t n = 0; n < s.is->matrices; n++) {
    const Matrix *matrix = s.matrices + n;
    all += panels(matrix->columns);
    floats += panels(matrix->columns) * COLUMNS * matrix->depth;
    numbers += matrix->columns * matrix->depth;
  }
  Threads threads = threads_of(frame);
  if (s.is->steps * s.batch * numbers < WORTH) threads.count = 1;
  float *first[s.is->matrices + 1], *memory = shared(most(1, floats));
  if (!memory) return no_memory(frame);
  s.panels = first;
  for (int64_t n = 0; n < s.is->matrices; n++)
    first[n] = n ? first[n - 1] + panels(s.matrices[n - 1].columns) * COLUMNS * s.matrices[n - 1].depth : memory;
  void *error = NULL;
  if (s.is->matrices && (s.batch == 1 || s.batch < TOGETHER * threads.count)) {
    error = scan_few_rows(&threads, &s);
  } else {
    s.rows = rows_of_part(s.batch, threads.count);
    parallel(&threads, pack_matrix, &s, all);
    parallel(&threads, run_part, &s, divided_up(s.batch, s.rows));
  }
  free(memory);
  return error;
}
