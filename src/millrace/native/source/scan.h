/* A loop over time, as scan.c has it from ops/scan_rows.py. */
#ifndef SCAN_H
#define SCAN_H

#include "elementwise.h"
#include "parallel.h"

typedef struct Place { /* where numbers [rows, ld] lie */
  int64_t kind, index, ld, offset;
} Place;
enum { ARGUMENT, RESULT, KEPT, PASSING }; /* kinds; what is kept lasts a step, what passes only while a block does */

typedef struct Instruction {
  int64_t operation, out, a, b, c, columns; /* places; b of a product is a matrix */
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

/* What a part works in: before the first step, its numbers written and its states copied. */
size_t memory_of(const Scan *s);
void begin(const Part *part);

/* Passes over elements from an instruction on; returns where they end: at a product or at the end of the step. */
const Instruction *passes(const Part *part, const Instruction *from);

/* One panel of a matrix, to where the panels lie. */
void pack_panel(const Scan *s, const Matrix *matrix, ptrdiff_t panel);

/* The panels `from` to `until` of a product. */
void multiply(const Part *part, const Instruction *todo, ptrdiff_t from, ptrdiff_t until);

Block block_of(const Part *part, int64_t number, ptrdiff_t first);

INLINE int is_product(const Instruction *todo) { return todo->operation == OPERATIONS; }
INLINE const Instruction *end_of(const Scan *s) { return s->program + s->is->instructions; }
INLINE ptrdiff_t nth_step(const Scan *s, ptrdiff_t n) { return s->is->backwards ? s->is->steps - 1 - n : n; }

/* All of it for a few rows, which all threads work at together; NULL unless out of memory. */
void *scan_few_rows(const Threads *threads, Scan *s);

#endif
