#include "pooling.h"

/* input[n, y, x, c] = the sum, over the windows that saw it, of gradient[n, ...] / how many elements that window has.
   As forwards: first down, whole lines at once, then along. */

#define BAND (1 << 14) /* numbers of the input that one thread takes at a time, at least */

typedef struct Spread {
  Pooling p;
  ptrdiff_t lines, bands; /* lines that are taken together, and how many such an image has */
} Spread;

typedef struct Span { /* of windows */
  ptrdiff_t from, until;
} Span;

/* The windows that see this element. */
static Span seeing(const Side *s, ptrdiff_t element) {
  const ptrdiff_t at = element + s->low;
  const ptrdiff_t from = at < s->window ? 0 : divided_up(at - s->window + 1, s->stride);
  return (Span){from, least(s->out, at / s->stride + 1)};
}

INLINE float share(const Pooling *p, const Side *s, ptrdiff_t position) {
  return 1.0f / (float)(p->count_padding ? s->window : existing(s, position));
}

static void down(const Pooling *p, const float *image, Span of, float *restrict sums) {
  const ptrdiff_t width = p->x.out * p->channels;
  if (of.from >= of.until) memset(sums, 0, width * sizeof(float));
  for (ptrdiff_t y = of.from; y < of.until; y++) {
    const float *restrict line = image + y * width, each = share(p, &p->y, y);
    if (y == of.from)
      for (ptrdiff_t n = 0; n < width; n++) sums[n] = line[n] * each;
    else
      for (ptrdiff_t n = 0; n < width; n++) sums[n] += line[n] * each;
  }
}

static void along(const Pooling *p, const float *sums, const Span *of, const float *shares, float *out) {
  const ptrdiff_t channels = p->channels;
  for (ptrdiff_t x = 0; x < p->x.size; x++, out += channels)
    for (ptrdiff_t c = 0; c < channels; c += LANES) { /* what is too much, the next pixel overwrites */
      Vector all = {0};
      for (ptrdiff_t n = of[x].from; n < of[x].until; n++) all += load(sums + n * channels + c) * shares[n];
      store(out + c, all);
    }
}

static void spread(const void *data, ptrdiff_t item) {
  const Spread *s = data;
  const Pooling *p = &s->p;
  const ptrdiff_t image = item / s->bands, first = item % s->bands * s->lines;
  const ptrdiff_t last = least(p->y.size, first + s->lines);
  const ptrdiff_t seen = p->x.out * p->channels + LANES, row = p->x.size * p->channels;
  float *sums = scratch(0, divided_up(seen + row + LANES + p->x.out, 2)), *spare = sums + seen;
  float *shares = spare + row + LANES;
  Span *of = scratch(1, 2 * p->x.size), before = {-1, -1};
  for (ptrdiff_t x = 0; x < p->x.size; x++) of[x] = seeing(&p->x, x);
  for (ptrdiff_t x = 0; x < p->x.out; x++) shares[x] = share(p, &p->x, x);
  memset(sums + seen - LANES, 0, LANES * sizeof(float));
  const int whole = p->channels % LANES == 0;
  float *out = p->result + (image * p->y.size + first) * row;
  for (ptrdiff_t y = first; y < last; y++, out += row) {
    const Span now = seeing(&p->y, y);
    if (now.from == before.from && now.until == before.until) {
      memcpy(out, out - row, row * sizeof(float));
      continue;
    }
    down(p, p->gradient + image * p->y.out * p->x.out * p->channels, now, sums);
    along(p, sums, of, shares, whole ? out : spare);
    if (!whole) memcpy(out, spare, row * sizeof(float));
    before = now;
  }
}

ROUTINE(average_pool_gradient) {
  Spread s = {.p = pooling_described(frame, frame->results.buffers[0], frame->arguments.buffers[0])};
  s.p.gradient = argument(frame, 0), s.p.result = result(frame, 0);
  s.lines = least(s.p.y.size, divided_up(BAND, most(1, s.p.x.size * s.p.channels)));
  s.bands = divided_up(s.p.y.size, s.lines);
  const Threads threads = threads_of(frame);
  parallel(&threads, spread, &s, s.p.batch * s.bands);
  return NULL;
}
