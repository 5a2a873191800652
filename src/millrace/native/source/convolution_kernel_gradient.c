#include "convolution.h"
#include "winograd.h"

#include <stdlib.h>

/* kernel[p, q, i, f] = sum over n, y, x of input[n, y * stride + p - low, x * stride + q - low, i] * gradient[n, y, x,
   f]. A product whose rows are the kernel's places and channels, and whose depth is every position of every image. */

#define LARGE (1 << 19) /* numbers of all the partial sums together */
#define PARTS 8         /* partial sums at most */
#define PIECE (1 << 14) /* numbers that one thread adds up at a time */

typedef struct Sum {
  Convolution c;
  ptrdiff_t images, lines, bands, units; /* the depth is cut in units: whole images, or lines of one */
  ptrdiff_t parts, size;                 /* partial sums, each over some of the units, and the numbers of one */
  ptrdiff_t rows, slices;                /* the rows of a group, cut in slices */
  float *partial;
} Sum;

static void add_up(const void *data, ptrdiff_t item) {
  const Sum *s = data;
  const Convolution *c = &s->c;
  const ptrdiff_t part = item / s->slices, slice = item % s->slices;
  const ptrdiff_t from = s->rows * slice / s->slices, rows = s->rows * (slice + 1) / s->slices - from;
  const ptrdiff_t begin = s->units * part / s->parts, end = s->units * (part + 1) / s->parts;
  for (ptrdiff_t unit = begin; unit < end; unit++) {
    const ptrdiff_t image = unit / s->bands * s->images, images = least(s->images, c->batch - image);
    const ptrdiff_t first = unit % s->bands * s->lines, lines = least(s->lines, c->y.out - first);
    const View view = windows(c, image, images, first, lines);
    const ptrdiff_t depth = images * lines * c->x.out;
    ptrdiff_t *row = scratch(1, 2 * rows + 2 * depth), *place = row + rows, *step = place + rows, *at = step + depth,
              k = 0;
    for (ptrdiff_t n = 0; n < images; n++)
      for (ptrdiff_t y = 0; y < lines; y++)
        for (ptrdiff_t x = 0; x < c->x.out; x++, k++) {
          step[k] = n * view.image + y * c->y.stride * view.line + x * c->x.stride * c->channels;
          at[k] = ((n * c->y.out + y) * c->x.out + x) * c->filters;
        }
    for (ptrdiff_t r = 0; r < rows; r++) {
      const ptrdiff_t tap = (from + r) / c->inside, i = (from + r) % c->inside;
      row[r] = tap / c->x.kernel * c->y.dilation * view.line + tap % c->x.kernel * c->x.dilation * c->channels + i;
      place[r] = (from + r) * c->filters;
    }
    /* A few filters need no panels. At the very end their last vector would reach beyond the gradient. */
    const ptrdiff_t begun = (image * c->y.out + first) * c->x.out;
    const ptrdiff_t behind = (c->batch * c->y.out * c->x.out - begun - depth) * c->filters;
    const int as_it_is = c->filters <= COLUMNS && (c->across % LANES == 0 || behind >= COLUMNS);
    float *panel = scratch(2, divided_up(panels(c->across) * COLUMNS * depth, 2));
    for (ptrdiff_t g = 0; g < c->groups; g++) {
      const float *gradient = c->gradient + begun * c->filters + g * c->across;
      if (!as_it_is) pack(panel, gradient, at, depth, 1, c->across);
      product(&(Product){
          .a = view.first + g * c->inside,
          .row = row,
          .rows = rows,
          .step = step,
          .depth = depth,
          .b = as_it_is ? gradient : panel,
          .ldb = as_it_is ? c->filters : 0,
          .out = s->partial + part * s->size + g * c->across,
          .place = place,
          .columns = c->across,
          .add = unit > begin,
      });
    }
  }
}

static void gather(const void *data, ptrdiff_t item) {
  const Sum *s = data;
  const ptrdiff_t from = item * PIECE, until = least(from + PIECE, s->size);
  for (ptrdiff_t n = from; n < until; n++) {
    float sum = s->partial[n];
    for (ptrdiff_t part = 1; part < s->parts; part++) sum += s->partial[part * s->size + n];
    s->c.result[n] = sum;
  }
}

ROUTINE(convolution_kernel_gradient) {
  Buffer **in = frame->arguments.buffers, *out = frame->results.buffers[0];
  if (sums_of_nothing(frame)) return NULL;
  Sum s = {.c = described(frame, in[0], out, in[1])};
  Convolution *c = &s.c;
  c->input = in[0]->data, c->gradient = in[1]->data, c->result = out->data;
  if (is_depthwise(c)) return depthwise_kernel_gradient(frame, c);
  if (kernel_gradient_by_tap(frame, c)) return NULL;
  if (is_winograd(c)) return winograd_kernel_gradient(frame, c);
  s.rows = c->y.kernel * c->x.kernel * c->inside, s.size = s.rows * c->filters;
  s.images = least(c->batch, most(1, 192 / (c->y.out * c->x.out)));
  s.lines = s.images > 1 ? c->y.out : least(c->y.out, divided_up(256, c->x.out));
  s.bands = divided_up(c->y.out, s.lines);
  s.units = divided_up(c->batch, s.images) * s.bands;
  s.parts = most(1, least(least(PARTS, s.units), LARGE / most(1, s.size)));
  s.partial = s.parts > 1 ? shared(s.parts * s.size) : c->result;
  if (!s.partial) return no_memory(frame);
  const Threads threads = threads_of(frame);
  s.slices = most(1, least(divided_up(2 * threads.count, s.parts), s.rows / ROWS));
  parallel(&threads, add_up, &s, s.parts * s.slices);
  if (s.parts > 1) {
    parallel(&threads, gather, &s, divided_up(s.size, PIECE));
    free(s.partial);
  }
  return NULL;
}
