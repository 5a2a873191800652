/* Operations on each number of a block by itself. */
#ifndef ELEMENTWISE_H
#define ELEMENTWISE_H

#include "vector.h"

typedef enum Operation { /* as ops/scan_rows.py numbers them */
                         COPY,
                         NEGATIVE,
                         SQUARE,
                         SIGMOID,
                         TANH,
                         RELU,
                         ADD,
                         SUBTRACT,
                         MULTIPLY,
                         DIVIDE,
                         MAXIMUM,
                         MINIMUM,
                         GREATER, /* 1 where it holds, else 0 */
                         GREATER_EQUAL,
                         LESS,
                         LESS_EQUAL,
                         SELECT, /* the second where the first is not 0, else the third */
                         REPEAT, /* the first number of each row, in all its columns */
                         OPERATIONS
} Operation;

typedef struct Block { /* numbers [rows, columns]; ld: from row to row */
  float *first;
  ptrdiff_t ld;
} Block;

/* out = operation(a, b, c), or of the first of them; out may be any of them, but that of REPEAT may not be a. */
void elementwise(Operation operation, Block out, Block a, Block b, Block c, ptrdiff_t rows, ptrdiff_t columns);

#endif
