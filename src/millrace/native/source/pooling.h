/* What the poolings share: geometry, and lines with their edges. */
#ifndef POOLING_H
#define POOLING_H

#include "parallel.h"
#include "vector.h"

typedef struct Side { /* an axis of space: sizes of input, output and window, and how the window moves */
  ptrdiff_t size, out, window, stride, low;
} Side;

typedef struct Pooling {
  Side y, x;
  ptrdiff_t batch, channels;
  ptrdiff_t reach, inner;        /* columns that the windows of a line see, from -low on; those of them that exist */
  int count_padding;             /* for a mean */
  const float *input, *gradient; /* those of them that are given */
  float *result;
} Pooling;

/* From the shapes of input [batch, height, width, channels] or [batch, width, channels] and output, and `how`: windows,
   strides and padding before, each for y and x, and whether padding counts. */
Pooling pooling_described(const Frame *frame, const Buffer *input, const Buffer *output);

/* The first line of the input that windows of output line y see: less than 0 in the padding. */
INLINE ptrdiff_t first_line(const Pooling *p, ptrdiff_t y) { return y * p->y.stride - p->y.low; }

/* Numbers of a line with its edges, and a vector more: so the last pixel can be read in whole vectors. */
INLINE ptrdiff_t roomy(const Pooling *p) { return p->reach * p->channels + LANES; }

/* How many of the window's elements exist, at this position. */
INLINE ptrdiff_t existing(const Side *s, ptrdiff_t position) {
  const ptrdiff_t from = position * s->stride - s->low;
  return least(s->size, from + s->window) - most(0, from);
}

INLINE void fill(float *to, float value, ptrdiff_t count) {
  for (ptrdiff_t n = 0; n < count; n++) to[n] = value;
}

#endif
