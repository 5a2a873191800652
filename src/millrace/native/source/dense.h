/* A few rows by a matrix. Each of its numbers is used a few times only, so what counts is how fast they come from
   memory: the matrix is read where it lies, and in the order in which it lies there. */
#ifndef DENSE_H
#define DENSE_H

#include "parallel.h"
#include "vector.h"

typedef struct Meeting { /* a row of x by w, or by a tap of it, to a row of out */
  const float *x;
  ptrdiff_t row;
} Meeting;

typedef struct Dense {     /* out[r, n] = sum over t and k of x[t, r, k] * w[t, k, n], for the x that there are */
  const Meeting *meetings; /* [taps, rows], of which the first few count */
  const ptrdiff_t *count;
  const float *w; /* [taps, depth, columns] */
  float *out;
  ptrdiff_t taps, rows, depth, columns; /* none of them 0 */
  int awake;                            /* whether other threads are, so that less is worth their while */
} Dense;

/* NULL unless out of memory. */
void *dense(const Frame *frame, const Dense *d);

#endif
