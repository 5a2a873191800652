#include <math.h>
#include <stdlib.h>

#include "row.h"

/* Layer normalization over the last axes, [rows, length]: z = (x - mean) r with r = 1 / sqrt(variance + epsilon), out =
   z * scale + offset; and what comes back: with h = g * scale, dx = r (h - mean of h - z * mean of h z), and the sums
   over rows of g z and of g. A row is read from memory once. `how`: the bits of epsilon as float32, and
   whether it is centred: else the mean is taken to be 0. */

#define NUMBERS 8192 /* that a thread takes at a time, at least */
#define PARTS   32   /* of the rows, at most, whose sums are kept apart: fixed, so that no sum depends on the threads */
#define ROWS_OF_PART 16 /* at least */

typedef struct Normalization {
  const float *x, *scale, *offset, *g;
  float *out, *sums; /* sums [parts, 2, length]: of g z and of g */
  ptrdiff_t rows, length, each, parts;
  float epsilon;
  int centred;
} Normalization;

typedef struct Moments {
  Vector mean, share; /* share: 1 / sqrt(variance + epsilon) */
} Moments;

INLINE Moments moments_of(const Normalization *m, const float *x) {
  const ptrdiff_t length = m->length;
  Vector sums[ALONG] = {0}, squares[ALONG] = {0};
  if (m->centred) EACH_VECTOR(length, { sums[turn] += take(x + at, count); });
  const Vector mean = total_of(sums) * (1.0f / length);
  EACH_VECTOR(length, {
    const Vector centred = only(take(x + at, count) - mean, count, 0);
    squares[turn] += centred * centred;
  });
  const float variance = total_of(squares)[0] / length;
  return (Moments){mean, all(1 / sqrtf(variance + m->epsilon))};
}

static void normalize(const void *data, ptrdiff_t item) {
  const Normalization *m = data;
  const ptrdiff_t length = m->length;
  for (ptrdiff_t row = item * m->each; row < least((item + 1) * m->each, m->rows); row++) {
    const float *x = m->x + row * length;
    float *out = m->out + row * length;
    const Moments of = moments_of(m, x);
    EACH_VECTOR(length, {
      const Vector z = (take(x + at, count) - of.mean) * of.share;
      put(out + at, z * take(m->scale + at, count) + take(m->offset + at, count), count);
    });
  }
}

INLINE void row_back(const Normalization *m, ptrdiff_t row, float *d_scale, float *d_offset) {
  const ptrdiff_t length = m->length;
  const float *x = m->x + row * length, *g = m->g + row * length;
  float *out = m->out + row * length;
  const Moments of = moments_of(m, x);
  Vector sums[ALONG] = {0}, products[ALONG] = {0};
  EACH_VECTOR(length, {
    const Vector arrived = take(g + at, count);
    const Vector z = (take(x + at, count) - of.mean) * of.share;
    const Vector h = arrived * take(m->scale + at, count);
    sums[turn] += h;
    products[turn] += only(h * z, count, 0);
    put(d_scale + at, take(d_scale + at, count) + arrived * z, count);
    put(d_offset + at, take(d_offset + at, count) + arrived, count);
  });
  const float whole = 1.0f / length;
  const Vector sum = total_of(sums) * (m->centred ? whole : 0), product = total_of(products) * whole;
  EACH_VECTOR(length, {
    const Vector z = (take(x + at, count) - of.mean) * of.share;
    const Vector h = take(g + at, count) * take(m->scale + at, count);
    put(out + at, of.share * (h - sum - z * product), count);
  });
}

static void normalize_back(const void *data, ptrdiff_t part) {
  const Normalization *m = data;
  float *d_scale = m->sums + part * 2 * m->length, *d_offset = d_scale + m->length;
  memset(d_scale, 0, 2 * m->length * sizeof(float));
  for (ptrdiff_t row = m->rows * part / m->parts; row < m->rows * (part + 1) / m->parts; row++)
    row_back(m, row, d_scale, d_offset);
}

static void take_arguments(const Frame *frame, Normalization *m) {
  m->x = argument(frame, 0), m->scale = argument(frame, 1), m->out = result(frame, 0);
  m->length = elements(frame->arguments.buffers[1]);
  m->rows = elements(frame->arguments.buffers[0]) / m->length;
  m->each = divided_up(NUMBERS, m->length);
  const int32_t bits = (int32_t)how(frame)[0];
  memcpy(&m->epsilon, &bits, sizeof bits);
  m->centred = (int)how(frame)[1];
}

ROUTINE(layer_normalization) {
  Normalization m = {.offset = argument(frame, 2)};
  take_arguments(frame, &m);
  const Threads threads = threads_of(frame);
  parallel(&threads, normalize, &m, divided_up(m.rows, m.each));
  return NULL;
}

ROUTINE(layer_normalization_gradient) {
  Normalization m = {.g = argument(frame, 2)};
  take_arguments(frame, &m);
  m.parts = most(1, least(PARTS, m.rows / ROWS_OF_PART));
  m.sums = shared(m.parts * 2 * m.length);
  if (!m.sums) return no_memory(frame);
  const Threads threads = threads_of(frame);
  parallel(&threads, normalize_back, &m, m.parts);
  add_parts(m.sums, m.parts, m.length, result(frame, 1), result(frame, 2));
  free(m.sums);
  return NULL;
}
