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
                         OPERATIONS
} Operation;

typedef struct Block { /* numbers [rows, columns]; ld: from row to row */
  float *first;
  ptrdiff_t ld;
} Block;

/* out = operation(a, b), or of a alone; out may be a or b. */
void elementwise(Operation operation, Block out, Block a, Block b, ptrdiff_t rows, ptrdiff_t columns);

#endif
