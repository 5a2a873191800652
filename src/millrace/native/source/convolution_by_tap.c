#include "convolution.h"
#include "winograd.h"

/* Convolutions whose windows see much padding, tap by tap: each place of the kernel is multiplied only where it lies on
   the image, in a product of its own. On 2 x 2 maps those of 3 x 3 lie there 16 times of 36. Every tap's numbers are
   read once, and no image is copied to have edges. */

#define WORTH (1 << 19) /* multiplications from which on a second thread is woken */

typedef struct Range {
  ptrdiff_t first, count;
} Range;

/* The output positions along an axis at which this tap lies on the image. */
static Range meeting(const Axis *a, ptrdiff_t tap) {
  const ptrdiff_t before = a->low - tap * a->dilation; /* it lies at position * stride - before */
  const ptrdiff_t first = divided_up(most(0, before), a->stride);
  const ptrdiff_t until = least(a->out, divided_up(most(0, a->size + before), a->stride));
  return (Range){first, most(0, until - first)};
}

typedef struct Meetings { /* of a tap with some images: where the pixels begin that it brings together */
  ptrdiff_t count, *input, *output;
} Meetings;

/* list: room for two numbers for each output position of these images. */
static Meetings meetings(const Convolution *c, ptrdiff_t tap, ptrdiff_t images, ptrdiff_t *list) {
  const ptrdiff_t p = tap / c->x.kernel, q = tap % c->x.kernel;
  const Range lines = meeting(&c->y, p), columns = meeting(&c->x, q);
  const Meetings all = {images * lines.count * columns.count, list, list + images * c->y.out * c->x.out};
  ptrdiff_t m = 0;
  for (ptrdiff_t n = 0; n < images; n++)
    for (ptrdiff_t y = lines.first; y < lines.first + lines.count; y++)
      for (ptrdiff_t x = columns.first; x < columns.first + columns.count; x++, m++) {
        const ptrdiff_t line = y * c->y.stride + p * c->y.dilation - c->y.low;
        const ptrdiff_t column = x * c->x.stride + q * c->x.dilation - c->x.low;
        all.input[m] = ((n * c->y.size + line) * c->x.size + column) * c->channels;
        all.output[m] = ((n * c->y.out + y) * c->x.out + x) * c->filters;
      }
  return all;
}

/* For one image, one channel and one filter. */
static ptrdiff_t multiplications(const Convolution *c) {
  ptrdiff_t lines = 0, columns = 0;
  for (ptrdiff_t p = 0; p < c->y.kernel; p++) lines += meeting(&c->y, p).count;
  for (ptrdiff_t q = 0; q < c->x.kernel; q++) columns += meeting(&c->x, q).count;
  return lines * columns;
}

/* One core of a Zen 4: 0.75 to 0.8 of the multiplications take as much of the time. 3 x 3 with 512 channels and filters
   on 2 x 2 maps, batch 32: forward 3.6 ms for 9.6, the input's gradient 3.5 for 9.4, the kernel's 3.2 for 6.4. With 8
   channels it takes up to twice as long. Beside Winograd's transforms it takes 0.5 to 0.9 of the time where it needs as
   many multiplications (2 x 2 maps), 1.02 to 1.08 with 1.2 times as many (5 x 5), 1.1 to 1.5 with 1.6 times (4 x 4). */
static int pays(const Convolution *c, int turned) {
  const ptrdiff_t high = turned ? c->y.size : c->y.out, wide = turned ? c->x.size : c->x.out;
  if (c->inside < 24 || c->across < 24) return 0;
  if (is_winograd(c)) {
    const ptrdiff_t patch = (c->y.kernel + 1) * (c->x.kernel + 1);
    return multiplications(c) <= patch * divided_up(high, 2) * divided_up(wide, 2);
  }
  const ptrdiff_t all = high * wide * c->y.kernel * c->x.kernel / (turned ? c->y.stride * c->x.stride : 1);
  return 10 * multiplications(c) <= 8 * all;
}

/* ---- The convolution, or, turned, the gradient of its output to that of its input. */

typedef struct Pass {
  const Convolution *c;
  int turned;
  const float *from;
  float *to;
  ptrdiff_t depth, columns; /* of a group: what is summed over, and what comes out */
  ptrdiff_t read, written;  /* numbers of an image */
  ptrdiff_t pixel;          /* numbers of a pixel of what comes out */
  ptrdiff_t panels, images; /* of a group; at a time */
} Pass;

static void add_taps(const void *data, ptrdiff_t item) {
  const Pass *p = data;
  const Convolution *c = p->c;
  const ptrdiff_t first = item % p->panels * COLUMNS, g = item / p->panels % c->groups;
  const ptrdiff_t image = item / p->panels / c->groups * p->images, images = least(p->images, c->batch - image);
  const ptrdiff_t columns = least(COLUMNS, p->columns - first), positions = images * c->y.out * c->x.out;
  float *to = p->to + image * p->written + g * p->columns + first;
  for (ptrdiff_t n = 0; n < images * p->written; n += p->pixel) memset(to + n, 0, columns * sizeof(float));
  float *panel = scratch(2, divided_up(p->depth * COLUMNS, 2));
  ptrdiff_t *list = scratch(1, 2 * positions + 2 * p->depth), *step = list + 2 * positions, *at = step + p->depth;
  for (ptrdiff_t k = 0; k < p->depth; k++) step[k] = k, at[k] = p->turned ? k : k * c->filters;
  for (ptrdiff_t tap = 0; tap < c->y.kernel * c->x.kernel; tap++) {
    const Meetings m = meetings(c, tap, images, list);
    if (m.count == 0) continue;
    const float *kernel = c->kernel + tap * c->inside * c->filters + g * c->across;
    if (p->turned)
      pack(panel, kernel + first * c->filters, at, p->depth, c->filters, columns);
    else
      pack(panel, kernel + first, at, p->depth, 1, columns);
    product(&(Product){
        .a = p->from + image * p->read + g * p->depth,
        .row = p->turned ? m.output : m.input,
        .rows = m.count,
        .step = step,
        .depth = p->depth,
        .b = panel,
        .out = to,
        .place = p->turned ? m.input : m.output,
        .columns = columns,
        .add = 1,
    });
  }
}

static int run(const Frame *frame, Pass p) {
  const Convolution *c = p.c;
  Threads threads = threads_of(frame);
  if (c->batch * multiplications(c) * c->inside * c->filters < WORTH) threads.count = 1;
  p.panels = panels(p.columns);
  p.images = least(most(1, 512 / (c->y.out * c->x.out)),
                   divided_up(c->batch, divided_up(2 * threads.count, c->groups * p.panels)));
  parallel(&threads, add_taps, &p, divided_up(c->batch, p.images) * c->groups * p.panels);
  return 1;
}

int convolution_by_tap(const Frame *frame, const Convolution *c) {
  return pays(c, 0) && run(frame, (Pass){
                                      .c = c,
                                      .from = c->input,
                                      .to = c->result,
                                      .depth = c->inside,
                                      .columns = c->across,
                                      .read = c->y.size * c->x.size * c->channels,
                                      .written = c->y.out * c->x.out * c->filters,
                                      .pixel = c->filters,
                                  });
}

int input_gradient_by_tap(const Frame *frame, const Convolution *c) {
  return pays(c, 1) && run(frame, (Pass){
                                      .c = c,
                                      .turned = 1,
                                      .from = c->gradient,
                                      .to = c->result,
                                      .depth = c->across,
                                      .columns = c->inside,
                                      .read = c->y.out * c->x.out * c->filters,
                                      .written = c->y.size * c->x.size * c->channels,
                                      .pixel = c->channels,
                                  });
}

/* ---- The kernel's gradient: a tap's is a product with the positions that it meets as its depth. */

typedef struct Sum {
  Convolution c;
  ptrdiff_t images, slices; /* images at a time; slices of a group's filters */
} Sum;

static void sum_up(const void *data, ptrdiff_t item) {
  const Sum *s = data;
  const Convolution *c = &s->c;
  const ptrdiff_t tap = item / s->slices / c->groups, g = item / s->slices % c->groups, slice = item % s->slices;
  const ptrdiff_t all = panels(c->across), first = all * slice / s->slices * COLUMNS;
  const ptrdiff_t columns = least(c->across, all * (slice + 1) / s->slices * COLUMNS) - first;
  const ptrdiff_t positions = s->images * c->y.out * c->x.out;
  float *panel = scratch(2, divided_up(panels(columns) * COLUMNS * positions, 2));
  ptrdiff_t *list = scratch(1, 2 * positions + 2 * c->inside), *row = list + 2 * positions, *place = row + c->inside;
  for (ptrdiff_t i = 0; i < c->inside; i++) row[i] = i, place[i] = i * c->filters;
  for (ptrdiff_t image = 0; image < c->batch; image += s->images) {
    const Meetings m = meetings(c, tap, least(s->images, c->batch - image), list);
    const float *gradient = c->gradient + image * c->y.out * c->x.out * c->filters + g * c->across + first;
    pack(panel, gradient, m.output, m.count, 1, columns);
    product(&(Product){
        .a = c->input + image * c->y.size * c->x.size * c->channels + g * c->inside,
        .row = row,
        .rows = c->inside,
        .step = m.input,
        .depth = m.count,
        .b = panel,
        .out = c->result + tap * c->inside * c->filters + g * c->across + first,
        .place = place,
        .columns = columns,
        .add = image > 0,
    });
  }
}

int kernel_gradient_by_tap(const Frame *frame, const Convolution *c) {
  if (!pays(c, 0)) return 0;
  Threads threads = threads_of(frame);
  if (c->batch * multiplications(c) * c->inside * c->filters < WORTH) threads.count = 1;
  const Sum s = {*c, least(c->batch, most(1, 192 / (c->y.out * c->x.out))), least(panels(c->across), 4)};
  parallel(&threads, sum_up, &s, c->y.kernel * c->x.kernel * c->groups * s.slices);
  return 1;
}
