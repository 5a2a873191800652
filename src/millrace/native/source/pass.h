/* Several operations on each number of arrays of one shape, in one pass over memory. */
#ifndef PASS_H
#define PASS_H

#include "elementwise.h"
#include "parallel.h"

typedef struct PassPlace { /* an operand [rows, columns] */
  int64_t kind, index;
} PassPlace;
enum {
  WHOLE,    /* argument `index`, of the shape of the pass */
  ROW,      /* argument `index`, [columns]: the same for all rows */
  COLUMN,   /* argument `index`, [rows]: the same for all columns; for REPEAT alone */
  NUMBER,   /* argument `index`, one number for all */
  CONSTANT, /* the number whose bits `index` is */
  MADE,     /* result `index` */
  BETWEEN   /* what the pass keeps to itself, a block at a time */
};

typedef struct PassStep {
  int64_t operation, out, in[OPERANDS]; /* places */
} PassStep;

typedef struct Pass {            /* as engines/passes.py writes it */
  int64_t count, steps, between; /* of places; of what is kept */
  PassPlace places[];
} Pass;

/* The program that runs: `how` says which argument decides, or -1, how long the first one is, and both of them. */
const Pass *decided(const Frame *frame, const int64_t *how);

/* Run it over columns [column, column + wide) of some rows of arrays that are `columns` wide. */
void pass_over(const Frame *frame, const Pass *pass, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t column, ptrdiff_t wide,
               ptrdiff_t columns);

#endif
