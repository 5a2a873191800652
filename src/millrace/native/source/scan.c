#include <stdlib.h>

#include "elementwise.h"
#include "parallel.h"
#include "product.h"

/* A loop over time whose steps treat each row of the batch by itself: each thread takes some rows through all steps,
   and waits for nobody. What a step does is given as a program, which ops/scan_rows.py writes. Arguments: first states
   [batch, *], sequences [steps, batch, *], constants; results: last states, then what steps put out, over time. */

#define MOST 64 /* rows that go together: a panel of a matrix is read from the second cache for all of them */

typedef struct Place { /* where numbers [rows, ld] lie */
  int64_t kind, index, ld, offset;
} Place;
enum { ARGUMENT, RESULT, KEPT, PASSING }; /* kinds; what is kept lasts a step, what passes only while a block does */

typedef struct Instruction {
  int64_t operation, out, a, b, columns; /* places; b of a product is a matrix */
} Instruction;

typedef struct Matrix { /* an argument [depth, columns], or [columns, depth] */
  int64_t argument, depth, columns, turned;
} Matrix;

typedef struct Number { /* a row of `columns` times the same, at a place of its own */
  int64_t place, columns, bits;
} Number;

typedef struct Header {
  int64_t steps, backwards, states, sequences, block; /* block: rows that pass elementwise operations together */
  int64_t kept, passing, single;                      /* columns of memory: kept, passing, and of single rows */
  int64_t places, instructions, matrices, numbers;
} Header;

typedef struct Scan {
  const Frame *frame;
  const Header *is;
  const Place *places;
  const Instruction *program;
  const Matrix *matrices;
  const Number *numbers;
  float **panels;
  ptrdiff_t batch, rows; /* rows of a part */
} Scan;

typedef struct Part { /* some rows at one step */
  const Scan *scan;
  float *memory;
  ptrdiff_t from, rows, step;
} Part;

/* Rows of a place from row `first` of the part on. */
static Block block_of(const Part *part, int64_t number, ptrdiff_t first) {
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

static void multiply(const Part *part, const Instruction *todo) {
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
      .b = s->panels[todo->b],
      .out = out.first,
      .place = place,
      .columns = matrix->columns,
  });
}

static int is_product(const Instruction *todo) { return todo->operation == OPERATIONS; }

static void one_step(const Part *part) {
  const Scan *s = part->scan;
  const Instruction *end = s->program + s->is->instructions;
  for (const Instruction *from = s->program; from < end;) {
    if (is_product(from)) {
      multiply(part, from++);
      continue;
    }
    const Instruction *until = from;
    while (until < end && !is_product(until)) until++;
    for (ptrdiff_t first = 0; first < part->rows; first += s->is->block) {
      const ptrdiff_t rows = least(s->is->block, part->rows - first);
      for (const Instruction *todo = from; todo < until; todo++)
        elementwise((Operation)todo->operation, block_of(part, todo->out, first), block_of(part, todo->a, first),
                    block_of(part, todo->b, first), rows, todo->columns);
    }
    from = until;
  }
}

static void run_part(const void *data, ptrdiff_t item) {
  const Scan *s = data;
  const Header *is = s->is;
  Part part = {.scan = s, .from = item * s->rows};
  part.rows = least(s->rows, s->batch - part.from);
  part.memory = scratch(0, divided_up(is->single + is->kept * s->rows + is->passing * is->block, 2));
  for (const Number *number = s->numbers; number < s->numbers + is->numbers; number++) {
    const int32_t bits = (int32_t)number->bits;
    for (ptrdiff_t n = 0; n < number->columns; n++) memcpy(part.memory + number->place + n, &bits, sizeof bits);
  }
  for (int64_t k = 0; k < is->states; k++) {
    const int64_t wide = s->frame->results.buffers[k]->shape[1];
    memcpy(result(s->frame, (int)k) + part.from * wide, argument(s->frame, (int)k) + part.from * wide,
           part.rows * wide * sizeof(float));
  }
  for (int64_t n = 0; n < is->steps; n++) {
    part.step = is->backwards ? is->steps - 1 - n : n;
    one_step(&part);
  }
}

static void pack_matrix(const void *data, ptrdiff_t item) {
  const Scan *s = data;
  const Matrix *matrix = s->matrices;
  ptrdiff_t panel = item;
  for (; panel >= panels(matrix->columns); matrix++) panel -= panels(matrix->columns);
  ptrdiff_t *at = scratch(1, matrix->depth);
  for (ptrdiff_t k = 0; k < matrix->depth; k++) at[k] = matrix->turned ? k : k * matrix->columns;
  const ptrdiff_t across = matrix->turned ? matrix->depth : 1, column = panel * COLUMNS;
  pack(s->panels[matrix - s->matrices] + column * matrix->depth,
       argument(s->frame, (int)matrix->argument) + column * across, at, matrix->depth, across,
       least(COLUMNS, matrix->columns - column));
}

ROUTINE(scan) {
  const int64_t *given = how(frame);
  Scan s = {.frame = frame, .is = (const Header *)given};
  s.places = (const Place *)(s.is + 1);
  s.program = (const Instruction *)(s.places + s.is->places);
  s.matrices = (const Matrix *)(s.program + s.is->instructions);
  s.numbers = (const Number *)(s.matrices + s.is->matrices);
  s.batch = frame->results.buffers[0]->shape[0];
  const Threads threads = threads_of(frame);
  s.rows = least(MOST, divided_up(divided_up(s.batch, threads.count), ROWS) * ROWS);
  ptrdiff_t floats = 0, panes = 0;
  float *first[s.is->matrices + 1];
  s.panels = first;
  for (int64_t n = 0; n < s.is->matrices; n++) floats += panels(s.matrices[n].columns) * COLUMNS * s.matrices[n].depth;
  float *memory = shared(most(1, floats));
  if (!memory) return no_memory(frame);
  for (int64_t n = 0; n < s.is->matrices; n++) {
    s.panels[n] = n ? s.panels[n - 1] + panels(s.matrices[n - 1].columns) * COLUMNS * s.matrices[n - 1].depth : memory;
    panes += panels(s.matrices[n].columns);
  }
  parallel(&threads, pack_matrix, &s, panes);
  if (s.batch) parallel(&threads, run_part, &s, divided_up(s.batch, s.rows));
  free(memory);
  return NULL;
}
