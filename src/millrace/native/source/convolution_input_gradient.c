#include "convolution.h"
#include "winograd.h"

#include <stdlib.h>

/* input[n, y, x, i] = sum over p, q, f of gradient[n, (y + low - p * dilation) / stride, ..., f] * kernel[p, q, i, f],
   where that divides. So pixels and places of the kernel meet by their remainders: each pair of remainders (a phase) is
   a convolution of its own, with a stride of one, and nothing is multiplied by the zeros between. */

typedef struct Phase {
  ptrdiff_t taps, start; /* how many places of the kernel it has, and its first among them all */
} Phase;

typedef struct Backward {
  Convolution c;
  ptrdiff_t phases, *tap; /* the places of the kernel, p * width + q, ordered by phase */
  Phase *phase;
  float *packed; /* of each phase: [groups, panels, taps * across, COLUMNS], one phase behind the other */
  ptrdiff_t all, images, parts;
} Backward;

static float *packed(const Backward *b, ptrdiff_t phase, ptrdiff_t group, ptrdiff_t panel) {
  const ptrdiff_t deep = b->c.across * COLUMNS;
  return b->packed + b->phase[phase].start * deep * b->c.groups * b->all +
         (group * b->all + panel) * b->phase[phase].taps * deep;
}

static void pack_turned(const void *data, ptrdiff_t item) {
  const Backward *b = data;
  const Convolution *c = &b->c;
  const ptrdiff_t group = item / b->all, panel = item % b->all;
  for (ptrdiff_t h = 0; h < b->phases; h++) {
    const Phase *phase = &b->phase[h];
    ptrdiff_t *at = scratch(1, phase->taps * c->across + 1), k = 0;
    for (ptrdiff_t t = 0; t < phase->taps; t++)
      for (ptrdiff_t f = 0; f < c->across; f++) at[k++] = b->tap[phase->start + t] * c->inside * c->filters + f;
    pack(packed(b, h, group, panel), c->kernel + group * c->across + panel * COLUMNS * c->filters, at, k, c->filters,
         least(COLUMNS, c->inside - panel * COLUMNS));
  }
}

/* The first and last output position that any element of the input meets, whether it exists or not. */
static ptrdiff_t first_met(const Axis *a) { return a->low / a->stride - (a->kernel - 1) * a->dilation / a->stride; }
static ptrdiff_t last_met(const Axis *a) { return (a->size - 1 + a->low) / a->stride; }

/* The first element of the input with this remainder. */
static ptrdiff_t element(const Axis *a, ptrdiff_t remainder) {
  return ((remainder - a->low) % a->stride + a->stride) % a->stride;
}

static void spread(const void *data, ptrdiff_t item) {
  const Backward *b = data;
  const Convolution *c = &b->c;
  const ptrdiff_t part = item % b->parts, image = item / b->parts * b->images;
  const ptrdiff_t images = least(b->images, c->batch - image);
  const ptrdiff_t top = first_met(&c->y), left = first_met(&c->x), pixels = c->y.size * c->x.size;
  const View view = cut_out(c->gradient + image * c->y.out * c->x.out * c->filters, images, c->y.out, c->x.out,
                            c->filters, top, last_met(&c->y) - top + 1, left, last_met(&c->x) - left + 1);
  const ptrdiff_t from = b->all * part / b->parts, until = b->all * (part + 1) / b->parts;
  for (ptrdiff_t h = 0; h < b->phases; h++) {
    const Phase *phase = &b->phase[h];
    const ptrdiff_t depth = phase->taps * c->across, most_rows = images * pixels;
    ptrdiff_t *row = scratch(1, 2 * most_rows + depth), *place = row + most_rows, *step = place + most_rows, m = 0,
              k = 0;
    for (ptrdiff_t n = 0; n < images; n++)
      for (ptrdiff_t y = element(&c->y, h / c->x.stride); y < c->y.size; y += c->y.stride)
        for (ptrdiff_t x = element(&c->x, h % c->x.stride); x < c->x.size; x += c->x.stride, m++) {
          row[m] = n * view.image + ((y + c->y.low) / c->y.stride - top) * view.line +
                   ((x + c->x.low) / c->x.stride - left) * c->filters;
          place[m] = ((n * c->y.size + y) * c->x.size + x) * c->channels;
        }
    for (ptrdiff_t t = 0; t < phase->taps; t++) {
      const ptrdiff_t p = b->tap[phase->start + t] / c->x.kernel, q = b->tap[phase->start + t] % c->x.kernel;
      for (ptrdiff_t f = 0; f < c->across; f++)
        step[k++] = f - p * c->y.dilation / c->y.stride * view.line - q * c->x.dilation / c->x.stride * c->filters;
    }
    for (ptrdiff_t g = 0; g < c->groups; g++)
      product(&(Product){
          .a = view.first + g * c->across,
          .row = row,
          .rows = m,
          .step = step,
          .depth = depth,
          .b = packed(b, h, g, from),
          .out = c->result + image * pixels * c->channels + g * c->inside + from * COLUMNS,
          .place = place,
          .columns = least(until * COLUMNS, c->inside) - from * COLUMNS,
      });
  }
}

ROUTINE(convolution_input_gradient) {
  Buffer **in = frame->arguments.buffers, *out = frame->results.buffers[0];
  if (sums_of_nothing(frame)) return NULL;
  Backward b = {.c = described(frame, out, in[1], in[0])};
  Convolution *c = &b.c;
  c->gradient = in[0]->data, c->kernel = in[1]->data, c->result = out->data;
  if (is_depthwise(c)) return depthwise_input_gradient(frame, c);
  if (input_gradient_by_tap(frame, c)) return NULL;
  if (is_winograd(c)) return winograd_input_gradient(frame, c);
  if (has_few_channels(c)) return few_channels_gradient(frame, c);
  const ptrdiff_t taps = c->y.kernel * c->x.kernel;
  b.phases = c->y.stride * c->x.stride, b.all = panels(c->inside);
  b.tap = malloc(taps * sizeof *b.tap), b.phase = malloc(b.phases * sizeof *b.phase);
  b.packed = shared(taps * c->across * COLUMNS * c->groups * b.all);
  if (!b.tap || !b.phase || !b.packed) {
    free(b.tap), free(b.phase), free(b.packed);
    return no_memory(frame);
  }
  ptrdiff_t t = 0;
  for (ptrdiff_t h = 0; h < b.phases; h++) {
    b.phase[h].start = t;
    for (ptrdiff_t p = 0; p < c->y.kernel; p++)
      for (ptrdiff_t q = 0; q < c->x.kernel; q++)
        if (p * c->y.dilation % c->y.stride == h / c->x.stride && q * c->x.dilation % c->x.stride == h % c->x.stride)
          b.tap[t++] = p * c->x.kernel + q;
    b.phase[h].taps = t - b.phase[h].start;
  }
  const Threads threads = threads_of(frame);
  parallel(&threads, pack_turned, &b, c->groups * b.all);
  b.images = least(most(1, 256 * b.phases / (c->y.size * c->x.size)), divided_up(c->batch, 4 * threads.count));
  const ptrdiff_t units = divided_up(c->batch, b.images);
  b.parts = least(b.all, divided_up(2 * threads.count, units));
  parallel(&threads, spread, &b, units * b.parts);
  free(b.tap), free(b.phase), free(b.packed);
  return NULL;
}
