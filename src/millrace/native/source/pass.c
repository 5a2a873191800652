#include "pass.h"

#define BLOCK 512       /* numbers that go through all steps together, in the first cache */
#define PIECE (1 << 15) /* that a thread takes at a time */

#define FAR (1 << 17) /* numbers of an array from which on they come from beyond the second cache */

typedef struct Lies { /* where a place does */
  int64_t kind;
  float *first;
} Lies;

/* Where each place begins, with memory of its own for a block that steps write, for a vector of one number, and, where
   a block has many rows, for as many of the same: with these all its numbers are one long row. */
static void lay_out(const Frame *frame, const Pass *pass, ptrdiff_t again, ptrdiff_t wide, float *memory, Lies *lies) {
  for (int64_t n = 0; n < pass->count; n++, memory += BLOCK + LANES) {
    const PassPlace place = pass->places[n];
    const int32_t bits = (int32_t)place.index;
    float number;
    lies[n] = (Lies){place.kind, memory};
    switch (place.kind) {
      case ROW:
        lies[n].first = argument(frame, (int)place.index);
        if (again > 1) {
          lies[n] = (Lies){BETWEEN, memory};
          for (ptrdiff_t m = 0; m < again; m++)
            memcpy(memory + m * wide, argument(frame, (int)place.index), wide * sizeof(float));
        }
        continue;
      case WHOLE:
      case COLUMN:
        lies[n].first = argument(frame, (int)place.index);
        continue;
      case MADE:
        lies[n].first = result(frame, (int)place.index);
        continue;
      case BETWEEN:
        continue;
      case NUMBER:
        number = argument(frame, (int)place.index)[0];
        break;
      default:
        memcpy(&number, &bits, sizeof number);
    }
    for (int lane = 0; lane < LANES; lane++) memory[lane] = number;
  }
}

INLINE Block block_of(Lies lies, ptrdiff_t row, ptrdiff_t column, ptrdiff_t wide, ptrdiff_t columns) {
  switch (lies.kind) {
    case WHOLE:
    case MADE:
      return (Block){lies.first + row * columns + column, columns};
    case ROW:
      return (Block){lies.first + column, 0};
    case COLUMN:
      return (Block){lies.first + row, 1};
    case BETWEEN:
      return (Block){lies.first, wide};
    default:
      return (Block){lies.first, SAME};
  }
}

/* Fetches the numbers behind a block: 0.8 of the time where they come from memory (Adam's update, Zen 4). */
INLINE void fetch_ahead(const float *first, ptrdiff_t wide) {
  for (ptrdiff_t n = wide; n < 2 * wide; n += 16) __builtin_prefetch(first + n, 0, 2);
}

const Pass *decided(const Frame *frame, const int64_t *how) {
  const int second = how[0] >= 0 && argument(frame, (int)how[0])[0] == 0;
  return (const Pass *)(how + 2 + (second ? how[1] : 0));
}

void pass_over(const Frame *frame, const Pass *pass, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t column, ptrdiff_t wide,
               ptrdiff_t columns) {
  const PassStep *steps = (const PassStep *)(pass->places + pass->count);
  const ptrdiff_t many = most(1, BLOCK / wide);
  Lies lies[pass->count];
  Block at[pass->count];
  const Block *in[most(1, pass->steps)][OPERANDS];
  lay_out(frame, pass, wide == columns ? many : 1, wide, scratch(3, pass->count * (BLOCK + LANES) / 2), lies);
  for (int64_t s = 0; s < pass->steps; s++)
    for (int k = 0; k < OPERANDS; k++) in[s][k] = at + steps[s].in[k];
  for (ptrdiff_t r = row; r < row + rows; r += many)
    for (ptrdiff_t c = column; c < column + wide; c += BLOCK) {
      const ptrdiff_t height = least(many, row + rows - r), width = least(BLOCK, column + wide - c);
      for (int64_t n = 0; n < pass->count; n++) {
        at[n] = block_of(lies[n], r, c, width, columns);
        if (columns > FAR && pass->places[n].kind == WHOLE) fetch_ahead(at[n].first, width);
      }
      for (int64_t s = 0; s < pass->steps; s++) {
        const Block out = at[steps[s].out];
        if (steps[s].operation >= AVERAGE && steps[s].operation <= ADAPTED)
          adapt((Operation)steps[s].operation, out, in[s], height, width);
        else if (steps[s].operation != COPY || out.first != in[s][0]->first)
          elementwise((Operation)steps[s].operation, out, *in[s][0], *in[s][1], *in[s][2], height, width);
      }
    }
}

typedef struct Whole {
  const Frame *frame;
  const Pass *pass;
  ptrdiff_t rows, columns, many, pieces; /* a thread takes `many` rows, or one of the pieces of a long one */
} Whole;

static void take_piece(const void *data, ptrdiff_t item) {
  const Whole *w = data;
  const ptrdiff_t row = item / w->pieces * w->many, piece = item % w->pieces;
  const ptrdiff_t from = piece * PIECE, wide = w->pieces > 1 ? least(PIECE, w->columns - from) : w->columns;
  pass_over(w->frame, w->pass, row, least(w->many, w->rows - row), from, wide, w->columns);
}

/* `how`: the columns of a row, then the pass. Its results are as many numbers as each whole argument. */
ROUTINE(pass) {
  Whole w = {.frame = frame, .columns = how(frame)[0], .pass = decided(frame, how(frame) + 1)};
  w.rows = elements(frame->results.buffers[0]) / w.columns;
  w.pieces = divided_up(w.columns, PIECE);
  w.many = most(1, PIECE / w.columns);
  const Threads threads = threads_of(frame);
  parallel(&threads, take_piece, &w, divided_up(w.rows, w.many) * w.pieces);
  return NULL;
}
