#include "pooling.h"

#include <math.h>

/* out[n, y, x, c] = the greatest, or the mean, of input[n, y * stride + p - low, x * stride + q - low, c] over p and q.
   First over p, whole lines at once however few the channels are; then over q, pixel by pixel. */

#define BAND (1 << 16) /* numbers of the input that one thread takes at a time, at least */

Pooling pooling_described(const Frame *frame, const Buffer *input, const Buffer *output) {
  const int64_t *h = how(frame), *x = input->shape, *o = output->shape;
  Pooling p = {.batch = x[0], .channels = x[input->rank - 1], .count_padding = (int)h[6]};
  p.y = (Side){1, 1, 1, 1, 0};
  if (input->rank == 4) {
    p.y = (Side){x[1], o[1], h[0], h[2], h[4]};
    x++, o++;
  }
  p.x = (Side){x[1], o[1], h[1], h[3], h[5]};
  p.reach = (p.x.out - 1) * p.x.stride + p.x.window;
  p.inner = least(p.x.size, p.reach - p.x.low);
  return p;
}

typedef struct Bands {
  Pooling p;
  ptrdiff_t lines, bands; /* how the work is cut: lines of an image, and how many such an image has */
} Bands;

/* A NaN is greater than all. */
INLINE float greater(float a, float b) { return a > b || a != a ? a : b; }

INLINE Vector greater_of_each(Vector a, Vector b) {
  const Lanes first = (a > b) | (a != a);
  return (Vector)((first & (Lanes)a) | (~first & (Lanes)b));
}

/* out[n] = the sum or the greatest of the lines' numbers: three lines in one pass over out, which may not fit the
 * cache. */
INLINE void together(float *restrict out, const float *restrict a, ptrdiff_t row, ptrdiff_t lines, ptrdiff_t count,
                     const int mean) {
  const float *restrict b = a + row, *restrict c = b + row;
  ptrdiff_t line = least(lines, 3);
  if (lines == 1)
    memcpy(out, a, count * sizeof(float));
  else if (lines == 2)
    for (ptrdiff_t n = 0; n < count; n++) out[n] = mean ? a[n] + b[n] : greater(b[n], a[n]);
  else
    for (ptrdiff_t n = 0; n < count; n++) out[n] = mean ? a[n] + b[n] + c[n] : greater(c[n], greater(b[n], a[n]));
  for (; line < lines; line++) {
    const float *restrict next = a + line * row;
    for (ptrdiff_t n = 0; n < count; n++) out[n] = mean ? out[n] + next[n] : greater(next[n], out[n]);
  }
}

INLINE void line_of(const Pooling *p, const float *image, ptrdiff_t y, float *seen, float *out, const int mean) {
  const ptrdiff_t channels = p->channels, row = p->x.size * channels;
  const ptrdiff_t top = first_line(p, y), from = most(0, top), until = least(p->y.size, top + p->y.window);
  together(seen + p->x.low * channels, image + from * row, row, until - from, p->inner * channels, mean);
  for (ptrdiff_t x = 0; x < p->x.out; x++) {
    const float *first = seen + x * p->x.stride * channels;
    const ptrdiff_t elements = p->count_padding ? p->y.window * p->x.window : (until - from) * existing(&p->x, x);
    const float share = mean ? 1.0f / (float)elements : 0;
    for (ptrdiff_t c = 0; c < channels; c += LANES) { /* what is too much, the next pixel overwrites */
      Vector all = load(first + c);
      for (ptrdiff_t q = 1; q < p->x.window; q++) {
        const Vector next = load(first + q * channels + c);
        if (mean)
          all += next;
        else
          all = greater_of_each(next, all);
      }
      if (mean) all *= share;
      store(out + x * channels + c, all);
    }
  }
}

INLINE void band_of(const Bands *b, ptrdiff_t item, const int mean) {
  const Pooling *p = &b->p;
  const ptrdiff_t image = item / b->bands, from = item % b->bands * b->lines, until = least(p->y.out, from + b->lines);
  const ptrdiff_t width = p->x.out * p->channels;
  float *seen = scratch(0, divided_up(roomy(p) + width + LANES, 2)), *spare = seen + roomy(p);
  const float *input = p->input + image * p->y.size * p->x.size * p->channels;
  const ptrdiff_t before = p->x.low * p->channels, behind = before + p->inner * p->channels;
  fill(seen, mean ? 0 : -INFINITY, before);
  fill(seen + behind, mean ? 0 : -INFINITY, roomy(p) - behind);
  for (ptrdiff_t y = from; y < until; y++) {
    float *out = p->result + (image * p->y.out + y) * width;
    const int whole = p->channels % LANES == 0;
    line_of(p, input, y, seen, whole ? out : spare, mean);
    if (!whole) memcpy(out, spare, width * sizeof(float));
  }
}

static void greatest(const void *data, ptrdiff_t item) { band_of(data, item, 0); }
static void average(const void *data, ptrdiff_t item) { band_of(data, item, 1); }

static void in_bands(const Frame *frame, void (*work)(const void *, ptrdiff_t)) {
  Bands b = {.p = pooling_described(frame, frame->arguments.buffers[0], frame->results.buffers[0])};
  b.p.input = argument(frame, 0), b.p.result = result(frame, 0);
  const ptrdiff_t line = most(1, b.p.y.stride * b.p.x.size * b.p.channels);
  b.lines = least(b.p.y.out, divided_up(BAND, line));
  b.bands = divided_up(b.p.y.out, b.lines);
  const Threads threads = threads_of(frame);
  parallel(&threads, work, &b, b.p.batch * b.bands);
}

ROUTINE(max_pool) {
  in_bands(frame, greatest);
  return NULL;
}

ROUTINE(average_pool) {
  in_bands(frame, average);
  return NULL;
}
