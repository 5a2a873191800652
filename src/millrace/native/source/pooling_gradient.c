#include "pooling.h"

#include <math.h>

/* The gradient of max pooling: what each output's is, added to the first greatest element of its window. Padding is
   -inf, and a NaN is greater than nothing, nor less: so it is the first greatest where it stands first, and never else.

   The lines that a window sees lie in two rings, as they are and as sums: line l in slot l mod window. */

typedef struct Ring {
  const Pooling *p;
  float *lines, *sums; /* [window, roomy] */
  const float *input;  /* of one image */
  float *result;
  ptrdiff_t from, until; /* the lines that are in it now */
} Ring;

static ptrdiff_t slot(const Ring *r, ptrdiff_t line) {
  const ptrdiff_t window = r->p->y.window;
  return (line + window) % window * roomy(r->p);
}

static void enter(Ring *r, ptrdiff_t line) {
  const Pooling *p = r->p;
  const ptrdiff_t count = p->inner * p->channels;
  float *to = r->lines + slot(r, line) + p->x.low * p->channels;
  if (line < 0 || line >= p->y.size)
    fill(to, -INFINITY, count);
  else
    memcpy(to, r->input + line * p->x.size * p->channels, count * sizeof(float));
  memset(r->sums + slot(r, line), 0, roomy(p) * sizeof(float));
}

/* The sums of lines before this one are whole. */
static void finish(Ring *r, ptrdiff_t before) {
  const Pooling *p = r->p;
  const ptrdiff_t count = p->inner * p->channels, row = p->x.size * p->channels;
  for (; r->from < before; r->from++) {
    if (r->from < 0 || r->from >= p->y.size) continue;
    float *out = r->result + r->from * row;
    const ptrdiff_t met = r->from < r->until ? count : 0;
    memcpy(out, r->sums + slot(r, r->from) + p->x.low * p->channels, met * sizeof(float));
    memset(out + met, 0, (row - met) * sizeof(float));
  }
  r->until = most(r->until, before);
}

/* A vector of channels of one window, its places at these offsets. */
INLINE void choose(const float *x, float *sum, Vector given, const ptrdiff_t *offset, const int places) {
  Vector best = load(x + offset[0]);
  Lanes chosen = {0};
  for (int n = 1; n < places; n++) {
    const Vector element = load(x + offset[n]);
    const Lanes better = element > best;
    best = (Vector)((better & (Lanes)element) | (~better & (Lanes)best));
    chosen = (better & n) | (~better & chosen);
  }
  for (int n = 0; n < places; n++)
    store(sum + offset[n], load(sum + offset[n]) + (Vector)((chosen == n) & (Lanes)given));
}

INLINE void windows_of_line(const Ring *r, const float *g, const ptrdiff_t *offset, const int places) {
  const Pooling *p = r->p;
  Lanes lane;
  for (int n = 0; n < LANES; n++) lane[n] = n;
  for (ptrdiff_t x = 0; x < p->x.out; x++) {
    const ptrdiff_t at = x * p->x.stride * p->channels;
    for (ptrdiff_t c = 0; c < p->channels; c += LANES) {
      const Lanes ours = lane < (int)least(LANES, p->channels - c); /* other lanes belong to other pixels */
      const Vector given = (Vector)(ours & (Lanes)load(g + x * p->channels + c));
      choose(r->lines + at + c, r->sums + at + c, given, offset, places);
    }
  }
}

static void send_back(const void *data, ptrdiff_t image) {
  const Pooling *p = data;
  const ptrdiff_t places = p->y.window * p->x.window, width = p->x.out * p->channels, pixels = p->y.size * p->x.size;
  float *lines = scratch(0, divided_up(2 * p->y.window * roomy(p) + width + LANES, 2));
  Ring r = {
      .p = p,
      .lines = lines,
      .sums = lines + p->y.window * roomy(p),
      .from = first_line(p, 0),
      .until = first_line(p, 0),
      .input = p->input + image * pixels * p->channels,
      .result = p->result + image * pixels * p->channels,
  };
  float *given = r.sums + p->y.window * roomy(p);
  ptrdiff_t *offset = scratch(1, places);
  fill(lines, -INFINITY, p->y.window * roomy(p));
  fill(given + width, 0, LANES);
  for (ptrdiff_t y = 0; y < p->y.out; y++) {
    const ptrdiff_t top = first_line(p, y);
    finish(&r, top);
    for (; r.until < top + p->y.window; r.until++) enter(&r, r.until);
    for (ptrdiff_t n = 0; n < places; n++) offset[n] = slot(&r, top + n / p->x.window) + n % p->x.window * p->channels;
    const float *g = p->gradient + (image * p->y.out + y) * width;
    if (p->channels % LANES != 0) g = memcpy(given, g, width * sizeof(float));
    if (places == 4)
      windows_of_line(&r, g, offset, 4);
    else if (places == 9)
      windows_of_line(&r, g, offset, 9);
    else
      windows_of_line(&r, g, offset, (int)places);
  }
  finish(&r, p->y.size);
}

ROUTINE(max_pool_gradient) {
  Buffer **in = frame->arguments.buffers;
  Pooling p = pooling_described(frame, in[0], in[1]);
  p.input = in[0]->data, p.gradient = in[1]->data, p.result = result(frame, 0);
  const Threads threads = threads_of(frame);
  parallel(&threads, send_back, &p, p.batch);
  return NULL;
}
