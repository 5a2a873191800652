/* A few rows by a matrix. Each of its numbers is used a few times only, so what counts is how fast they come from
   memory: the matrix is read where it lies, and in the order in which it lies there. */
#ifndef DENSE_H
#define DENSE_H

#include "parallel.h"
#include "vector.h"

typedef struct Dense { /* out[r, n] = sum over k of x[r, k] * w[k, n] */
  const float *x, *w;
  float *out;
  ptrdiff_t rows, depth, columns; /* none of them 0 */
} Dense;

/* NULL unless out of memory. */
void *dense(const Frame *frame, const Dense *d);

#endif
