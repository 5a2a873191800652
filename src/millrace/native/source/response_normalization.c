#include <math.h>

#include "parallel.h"
#include "vector.h"

/* Local response normalization of Krizhevsky et al. 2012, section 3.3: b = x t^-3/4, t = k + alpha * (sum of x^2 over n
   neighbouring channels); and its gradient g t^-3/4 - 2 alpha beta x * (sum over neighbours of g b / t). One position
   at a time, so that nothing but input and output goes through memory. `how`: n, and the bits of k and alpha as
   float32. */

#define POSITIONS 64 /* that a thread takes at a time, at least */

typedef struct Normalization {
  const float *x, *b, *g;
  float *out;
  ptrdiff_t positions, channels, n, each;
  float k, alpha;
} Normalization;

static float number(int64_t bits) {
  const int32_t low = (int32_t)bits;
  float value;
  memcpy(&value, &low, sizeof value);
  return value;
}

/* sum[c] = sum of padded[c + j] over j < n. */
INLINE void windows_of(float *restrict sum, const float *restrict padded, ptrdiff_t channels, ptrdiff_t n) {
  for (ptrdiff_t c = 0; c < channels; c++) sum[c] = padded[c];
  for (ptrdiff_t j = 1; j < n; j++)
    for (ptrdiff_t c = 0; c < channels; c++) sum[c] += padded[c + j];
}

static void normalize(const void *data, ptrdiff_t item) {
  const Normalization *m = data;
  const ptrdiff_t channels = m->channels, n = m->n, below = n / 2;
  float *padded = scratch(0, channels + n), *sum = padded + channels + n;
  memset(padded, 0, (channels + n) * sizeof(float));
  for (ptrdiff_t p = item * m->each; p < least((item + 1) * m->each, m->positions); p++) {
    const float *restrict x = m->x + p * channels;
    float *restrict out = m->out + p * channels;
    for (ptrdiff_t c = 0; c < channels; c++) padded[below + c] = x[c] * x[c];
    windows_of(sum, padded, channels, n);
    for (ptrdiff_t c = 0; c < channels; c++) {
      const float root = sqrtf(m->k + m->alpha * sum[c]);
      out[c] = x[c] / (root * sqrtf(root));
    }
  }
}

static void normalize_back(const void *data, ptrdiff_t item) {
  const Normalization *m = data;
  const ptrdiff_t channels = m->channels, n = m->n, below = n / 2, above = (n - 1) / 2;
  float *padded = scratch(0, 2 * (channels + n)), *shares = padded + channels + n, *sum = shares + channels + n;
  float *direct = sum + channels;
  memset(padded, 0, 2 * (channels + n) * sizeof(float));
  for (ptrdiff_t p = item * m->each; p < least((item + 1) * m->each, m->positions); p++) {
    const float *restrict x = m->x + p * channels, *restrict b = m->b + p * channels, *restrict g = m->g + p * channels;
    float *restrict out = m->out + p * channels;
    for (ptrdiff_t c = 0; c < channels; c++) padded[below + c] = x[c] * x[c];
    windows_of(sum, padded, channels, n);
    for (ptrdiff_t c = 0; c < channels; c++) {
      const float t = m->k + m->alpha * sum[c], root = sqrtf(t);
      direct[c] = g[c] / (root * sqrtf(root));
      shares[above + c] = g[c] * b[c] / t;
    }
    windows_of(sum, shares, channels, n);
    const float factor = 1.5f * m->alpha; /* 2 alpha beta */
    for (ptrdiff_t c = 0; c < channels; c++) out[c] = direct[c] - factor * x[c] * sum[c];
  }
}

static void run(const Frame *frame, Normalization *m, void (*work)(const void *, ptrdiff_t)) {
  const Buffer *x = frame->arguments.buffers[0];
  m->x = x->data, m->out = result(frame, 0);
  m->channels = x->shape[x->rank - 1], m->positions = 1;
  for (int64_t axis = 0; axis + 1 < x->rank; axis++) m->positions *= x->shape[axis];
  m->n = how(frame)[0], m->k = number(how(frame)[1]), m->alpha = number(how(frame)[2]);
  const Threads threads = threads_of(frame);
  m->each = most(POSITIONS, divided_up(m->positions, 8 * threads.count));
  parallel(&threads, work, m, divided_up(m->positions, m->each));
}

ROUTINE(response_normalization) {
  Normalization m = {0};
  run(frame, &m, normalize);
  return NULL;
}

ROUTINE(response_normalization_gradient) {
  Normalization m = {.b = argument(frame, 1), .g = argument(frame, 2)};
  run(frame, &m, normalize_back);
  return NULL;
}
