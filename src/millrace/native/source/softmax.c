#include <float.h>
#include <math.h>

#include "row.h"

/* Softmax along the last axis, or its logarithm where `how` says 1, and the gradient of softmax: y (g - sum of g y). A
   row at a time, which is in the first cache after its first pass. */

#define NUMBERS 8192 /* that a thread takes at a time, at least */

typedef struct Softmax {
  const float *x, *g; /* x: the input, or in the gradient softmax's output y */
  float *out;
  ptrdiff_t rows, length, each;
} Softmax;

/* e^x where it is a number of normal size, else 0; x is at most 0, and a number. */
INLINE Vector power(Vector x) { return chosen(x < -87.0f, all(0), exponential_within(x)); }

/* The greatest of a row, or no finite number where softmax is NaN throughout. */
INLINE float greatest_of(const float *x, ptrdiff_t length) {
  Vector most[ALONG] = {all(-INFINITY), all(-INFINITY), all(-INFINITY), all(-INFINITY)};
  Whole strange = {0};
  EACH_VECTOR(length, {
    const Vector here = take(x + at, count);
    strange |= here != here;
    most[turn] = greater(only(here, count, -INFINITY), most[turn]);
  });
  const Vector found = greatest(greater(greater(most[0], most[1]), greater(most[2], most[3])));
  return greatest((Vector)(strange & (Whole)all(1)))[0] > 0 ? NAN : found[0];
}

INLINE void softmax_of_row(float *out, const float *x, ptrdiff_t length, const int logarithm) {
  const float most = greatest_of(x, length);
  if (!(fabsf(most) <= FLT_MAX)) {
    EACH_VECTOR(length, { put(out + at, all(NAN), count); });
    return;
  }
  Vector sums[ALONG] = {0};
  EACH_VECTOR(length, {
    const Vector e = only(power(take(x + at, count) - most), count, 0);
    sums[turn] += e;
    if (!logarithm) put(out + at, e, count);
  });
  const float sum = total_of(sums)[0];
  if (logarithm) {
    const float shift = logf(sum);
    EACH_VECTOR(length, { put(out + at, (take(x + at, count) - most) - shift, count); });
  } else {
    const float share = 1 / sum;
    EACH_VECTOR(length, { put(out + at, take(out + at, count) * share, count); });
  }
}

INLINE void gradient_of_row(float *out, const float *y, const float *g, ptrdiff_t length) {
  Vector sums[ALONG] = {0};
  EACH_VECTOR(length, { sums[turn] += take(g + at, count) * take(y + at, count); });
  const Vector sum = total_of(sums);
  EACH_VECTOR(length, { put(out + at, take(y + at, count) * (take(g + at, count) - sum), count); });
}

#define WORK(name, row)                                                                    \
  static void name(const void *data, ptrdiff_t item) {                                     \
    const Softmax *s = data;                                                               \
    const ptrdiff_t n = s->length;                                                         \
    for (ptrdiff_t r = item * s->each; r < least((item + 1) * s->each, s->rows); r++) row; \
  }
WORK(softmax, softmax_of_row(s->out + r * n, s->x + r * n, n, 0))
WORK(log_softmax, softmax_of_row(s->out + r * n, s->x + r * n, n, 1))
WORK(softmax_back, gradient_of_row(s->out + r * n, s->x + r * n, s->g + r * n, n))

static void run(const Frame *frame, Softmax *s, void (*work)(const void *, ptrdiff_t)) {
  const Buffer *x = frame->arguments.buffers[0];
  s->x = x->data, s->out = result(frame, 0);
  s->length = x->shape[x->rank - 1], s->rows = elements(x) / s->length;
  s->each = divided_up(NUMBERS, s->length);
  const Threads threads = threads_of(frame);
  parallel(&threads, work, s, divided_up(s->rows, s->each));
}

ROUTINE(softmax) {
  Softmax s = {0};
  run(frame, &s, how(frame)[0] ? log_softmax : softmax);
  return NULL;
}

ROUTINE(softmax_gradient) {
  Softmax s = {.g = argument(frame, 1)};
  run(frame, &s, softmax_back);
  return NULL;
}
