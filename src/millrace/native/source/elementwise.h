/* Operations on each number of a block by itself. */
#ifndef ELEMENTWISE_H
#define ELEMENTWISE_H

#include "vector.h"

typedef enum Operation { /* as native/operations.py numbers them: of one operand, of two, of three */
                         COPY,
                         NEGATIVE,
                         SQUARE,
                         SIGMOID,
                         TANH,
                         RELU,
                         SQRT,
                         RSQRT,
                         ABS,
                         SIGN,
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
                         SELECT,            /* the second where the first is not 0, else the third */
                         MULTIPLY_ADD,      /* a b + c */
                         MULTIPLY_SUBTRACT, /* c - a b */
                         AVERAGE,           /* a b + c d; a and c are the same everywhere */
                         AVERAGE_SQUARES,   /* a b + c d d; a and c are the same everywhere */
                         ADAPTED,           /* e - a b / (sqrt(c d) + f); a, c and f are the same everywhere */
                         REPEAT,            /* the first number of each row, in all its columns */
                         OPERATIONS
} Operation;

typedef struct Block { /* numbers [rows, columns]; ld: from row to row, or SAME */
  float *first;
  ptrdiff_t ld;
} Block;
#define SAME (-1) /* one number for all rows and columns, LANES times */

/* out = operation(a, b, c), or of the first of them; out may be any of them, but that of REPEAT may not be a. Of those
   that are SAME none is for REPEAT. */
void elementwise(Operation operation, Block out, Block a, Block b, Block c, ptrdiff_t rows, ptrdiff_t columns);

#define OPERANDS 6

/* The same for AVERAGE and what follows it. */
void adapt(Operation operation, Block out, const Block *const in[OPERANDS], ptrdiff_t rows, ptrdiff_t columns);

#endif
