#include "convolution.h"
#include "dense.h"
#include "winograd.h"

#include <stdlib.h>

Convolution described(const Frame *frame, const Buffer *input, const Buffer *kernel, const Buffer *output) {
  const int64_t *h = how(frame), *x = input->shape, *k = kernel->shape, *o = output->shape;
  Convolution c = {.batch = x[0], .groups = h[6]};
  if (input->rank == 4) {
    c.y = (Axis){x[1], o[1], k[0], h[0], h[2], h[4]};
    x++, k++, o++;
  } else {
    c.y = (Axis){1, 1, 1, 1, 0, 1};
  }
  c.x = (Axis){x[1], o[1], k[0], h[1], h[3], h[5]};
  c.channels = x[2], c.filters = o[2];
  c.inside = c.channels / c.groups, c.across = c.filters / c.groups;
  return c;
}

int sums_of_nothing(const Frame *frame) {
  Buffer **in = frame->arguments.buffers, *out = frame->results.buffers[0];
  if (elements(in[0]) && elements(in[1])) return 0;
  memset(out->data, 0, elements(out) * sizeof(float));
  return 1;
}

View cut_out(const float *images, ptrdiff_t count, ptrdiff_t height, ptrdiff_t width, ptrdiff_t channels,
             ptrdiff_t line, ptrdiff_t lines, ptrdiff_t column, ptrdiff_t columns) {
  const ptrdiff_t row = width * channels, to_row = columns * channels;
  if (line >= 0 && line + lines <= height && column >= 0 && column + columns <= width)
    return (View){images + line * row + column * channels, row, height * row};
  float *copy = scratch(0, divided_up(count * lines * to_row, 2)), *to = copy;
  const ptrdiff_t from = least(most(0, column), width), until = most(from, least(width, column + columns));
  const ptrdiff_t before = least(columns, from - column) * channels, inner = (until - from) * channels;
  for (ptrdiff_t n = 0; n < count; n++)
    for (ptrdiff_t l = line; l < line + lines; l++, to += to_row) {
      if (l < 0 || l >= height || inner == 0) {
        memset(to, 0, to_row * sizeof(float));
        continue;
      }
      memset(to, 0, before * sizeof(float));
      memcpy(to + before, images + (n * height + l) * row + from * channels, inner * sizeof(float));
      memset(to + before + inner, 0, (to_row - before - inner) * sizeof(float));
    }
  return (View){copy, to_row, lines * to_row};
}

View windows(const Convolution *c, ptrdiff_t image, ptrdiff_t images, ptrdiff_t y, ptrdiff_t lines) {
  return cut_out(c->input + image * c->y.size * c->x.size * c->channels, images, c->y.size, c->x.size, c->channels,
                 y * c->y.stride - c->y.low, reach(&c->y, lines), -c->x.low, reach(&c->x, c->x.out));
}

/* ---- out[n, y, x, f] = sum over p, q, i of input[n, y * stride + p - low, x * stride + q - low, i] * kernel[p, q, i,
 * f] */

typedef struct Forward {
  Convolution c;
  float *packed;                  /* [groups, panels, depth, COLUMNS], or NULL: the kernel as it is */
  ptrdiff_t depth, all;           /* of the product; panels of a group */
  ptrdiff_t images, lines, parts; /* how the work is cut: whole images or lines of one, and panels */
} Forward;

static void pack_kernel(const void *data, ptrdiff_t item) {
  const Forward *f = data;
  const ptrdiff_t g = item / f->all, p = item % f->all;
  ptrdiff_t *at = scratch(1, f->depth);
  for (ptrdiff_t k = 0; k < f->depth; k++) at[k] = k * f->c.filters;
  pack(f->packed + item * f->depth * COLUMNS, f->c.kernel + g * f->c.across + p * COLUMNS, at, f->depth, 1,
       least(COLUMNS, f->c.across - p * COLUMNS));
}

static void convolve(const void *data, ptrdiff_t item) {
  const Forward *f = data;
  const Convolution *c = &f->c;
  const ptrdiff_t bands = divided_up(c->y.out, f->lines), part = item % f->parts, unit = item / f->parts;
  const ptrdiff_t image = unit / bands * f->images, images = least(f->images, c->batch - image);
  const ptrdiff_t first = unit % bands * f->lines, lines = least(f->lines, c->y.out - first);
  const View view = windows(c, image, images, first, lines);
  const ptrdiff_t rows = images * lines * c->x.out;
  ptrdiff_t *row = scratch(1, 2 * rows + f->depth), *place = row + rows, *step = place + rows, m = 0, k = 0;
  for (ptrdiff_t n = 0; n < images; n++)
    for (ptrdiff_t y = 0; y < lines; y++)
      for (ptrdiff_t x = 0; x < c->x.out; x++, m++) {
        row[m] = n * view.image + y * c->y.stride * view.line + x * c->x.stride * c->channels;
        place[m] = ((n * c->y.out + y) * c->x.out + x) * c->filters;
      }
  for (ptrdiff_t p = 0; p < c->y.kernel; p++)
    for (ptrdiff_t q = 0; q < c->x.kernel; q++)
      for (ptrdiff_t i = 0; i < c->inside; i++)
        step[k++] = p * c->y.dilation * view.line + q * c->x.dilation * c->channels + i;
  const ptrdiff_t from = f->all * part / f->parts, until = f->all * (part + 1) / f->parts;
  float *out = c->result + (image * c->y.out + first) * c->x.out * c->filters + from * COLUMNS;
  for (ptrdiff_t g = 0; g < c->groups; g++)
    product(&(Product){
        .a = view.first + g * c->inside,
        .row = row,
        .rows = rows,
        .step = step,
        .depth = f->depth,
        .b = f->packed ? f->packed + (g * f->all + from) * f->depth * COLUMNS
                       : c->kernel + g * c->across + from * COLUMNS,
        .ldb = f->packed ? 0 : c->filters,
        .out = out + g * c->across,
        .place = place,
        .columns = least(until * COLUMNS, c->across) - from * COLUMNS,
    });
}

/* How many positions there are at most where it does not pay to pack the kernel, each number of which is used so often.
   Up to FEW, they meet the kernel in the order in which it lies: 0.26 ms for 2.3 with 512
   channels and filters on 2 x 2 maps. Up to IN_PLACE, tiles read it where it is: in half the time on 7 x 7 and 8 x 8
   maps, in 0.7 to 0.9 of it on 13 x 13 to 16 x 16 (2 cores, Zen 4). */
#define FEW      16
#define IN_PLACE 256
#define WORTH    (1 << 19) /* multiplications from which on a second thread is woken: 10 us of one */

/* Each tap of the kernel is read once, and met by those positions that see no padding there: 16 of 36 products are real
   with 3 x 3 on 2 x 2 maps, 100 of 144 on 4 x 4: 0.85 to 1 of the time (2 cores, Zen 4). */
static void *convolve_few(const Frame *frame, const Convolution *c) {
  const ptrdiff_t taps = c->y.kernel * c->x.kernel, rows = c->batch * c->y.out * c->x.out;
  Meeting *meetings = malloc(taps * (rows * sizeof *meetings + sizeof(ptrdiff_t)));
  if (!meetings) return no_memory(frame);
  ptrdiff_t *count = (ptrdiff_t *)(meetings + taps * rows);
  for (ptrdiff_t t = 0; t < taps; t++) {
    count[t] = 0;
    for (ptrdiff_t r = 0; r < rows; r++) {
      const ptrdiff_t n = r / (c->y.out * c->x.out);
      const ptrdiff_t y = r / c->x.out % c->y.out * c->y.stride + t / c->x.kernel * c->y.dilation - c->y.low;
      const ptrdiff_t x = r % c->x.out * c->x.stride + t % c->x.kernel * c->x.dilation - c->x.low;
      if (y < 0 || y >= c->y.size || x < 0 || x >= c->x.size) continue;
      const float *pixel = c->input + ((n * c->y.size + y) * c->x.size + x) * c->channels;
      meetings[t * rows + count[t]++] = (Meeting){pixel, r};
    }
  }
  void *error = dense(frame, &(Dense){
                                 .meetings = meetings,
                                 .count = count,
                                 .w = c->kernel,
                                 .out = c->result,
                                 .taps = taps,
                                 .rows = rows,
                                 .depth = c->inside,
                                 .columns = c->filters,
                             });
  free(meetings);
  return error;
}

ROUTINE(convolution) {
  Buffer **in = frame->arguments.buffers, *out = frame->results.buffers[0];
  if (sums_of_nothing(frame)) return NULL;
  Forward f = {.c = described(frame, in[0], in[1], out)};
  Convolution *c = &f.c;
  c->input = in[0]->data, c->kernel = in[1]->data, c->result = out->data;
  if (is_depthwise(c)) return depthwise(frame, c);
  if (c->groups == 1 && c->batch * c->y.out * c->x.out <= FEW) return convolve_few(frame, c);
  if (convolution_by_tap(frame, c)) return NULL;
  if (is_winograd(c)) return winograd(frame, c);
  f.depth = c->y.kernel * c->x.kernel * c->inside, f.all = panels(c->across);
  Threads threads = threads_of(frame);
  if (c->batch * c->y.out * c->x.out * f.depth * c->filters < WORTH) threads.count = 1;
  if (c->batch * c->y.out * c->x.out > IN_PLACE || c->across % LANES) {
    f.packed = shared(c->groups * f.all * f.depth * COLUMNS);
    if (!f.packed) return no_memory(frame);
    parallel(&threads, pack_kernel, &f, c->groups * f.all);
  }
  const ptrdiff_t positions = c->y.out * c->x.out, enough = 4 * threads.count;
  f.images = least(most(1, 256 / positions), divided_up(c->batch, enough));
  f.lines = positions <= 768 ? c->y.out : divided_up(768, c->x.out);
  if (c->batch < enough) f.lines = least(f.lines, divided_up(c->y.out * c->batch, enough));
  if (f.images > 1) f.lines = c->y.out;
  const ptrdiff_t units = divided_up(c->batch, f.images) * divided_up(c->y.out, f.lines);
  f.parts = least(f.all, divided_up(2 * threads.count, units));
  parallel(&threads, convolve, &f, units * f.parts);
  free(f.packed);
  return NULL;
}
