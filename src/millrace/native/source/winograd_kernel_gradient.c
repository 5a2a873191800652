#include "winograd.h"

#include <stdlib.h>

/* The transpose of the other two: kernel = G^T (sum over patches of (B^T d B) * (A g A^T)) G, d 4 x 4 of the input and
   g 2 x 2 of the output's gradient. The sum is a product of matrices for each spot, whose depth are the patches. */

#define LARGE   (1 << 19) /* numbers of all the partial sums together */
#define PARTS   8         /* partial sums at most */
#define PATCHES 64        /* at a time */
#define SLICE   64        /* channels at least that a thread takes for itself */

typedef struct Sum {
  Convolution c;
  ptrdiff_t group, size, spots;
  float *partial; /* [parts, spots, inside, across] */
  ptrdiff_t down, right, images, lines, bands, units, parts, slices;
} Sum;

/* To panels [spots, panels, PATCHES, COLUMNS]; what lies outside is zero. */
INLINE void transform_gradient(float *to, ptrdiff_t apart, const float *from, ptrdiff_t line, ptrdiff_t pixel,
                               ptrdiff_t filters, int down, int right, const int size) {
  const Vector zero = {0};
  for (ptrdiff_t n = 0; n < filters; n += LANES) {
    Vector half[MOST][2], out[MOST], g[2];
    for (int x = 0; x < 2; x++) {
      for (int y = 0; y < 2; y++) g[y] = x < right && y < down ? load(from + y * line + x * pixel + n) : zero;
      of_gradient(out, g, size);
      for (int y = 0; y < size; y++) half[y][x] = out[y];
    }
    float *spot = to + n / COLUMNS * PATCHES * COLUMNS + n % COLUMNS;
    for (int y = 0; y < size; y++) {
      of_gradient(out, half[y], size);
      for (int x = 0; x < size; x++) store(spot + (y * size + x) * apart, out[x]);
    }
  }
}

static void add_patches(const void *data, ptrdiff_t item) {
  const Sum *s = data;
  const Convolution *c = &s->c;
  const ptrdiff_t part = item / s->slices, slice = item % s->slices, vectors = c->inside / LANES;
  const ptrdiff_t from = vectors * slice / s->slices * LANES, rows = vectors * (slice + 1) / s->slices * LANES - from;
  const ptrdiff_t begin = s->units * part / s->parts, end = s->units * (part + 1) / s->parts;
  const ptrdiff_t in_apart = PATCHES * rows, out_apart = panels(c->across) * PATCHES * COLUMNS;
  float *transformed = scratch(2, s->spots * divided_up(in_apart + out_apart, 2)),
        *gradients = transformed + s->spots * in_apart;
  ptrdiff_t *row = scratch(1, 2 * rows + PATCHES), *place = row + rows, *step = place + rows;
  for (ptrdiff_t r = 0; r < rows; r++) row[r] = r, place[r] = r * c->across;
  for (ptrdiff_t t = 0; t < PATCHES; t++) step[t] = t * rows;
  float *sums = s->partial + (part * s->spots * c->inside + from) * c->across;
  int add = 0;
  for (ptrdiff_t unit = begin; unit < end; unit++) {
    const ptrdiff_t image = unit / s->bands * s->images, images = least(s->images, c->batch - image);
    const ptrdiff_t first = unit % s->bands * s->lines, lines = least(s->lines, s->down - first);
    const View view =
        cut_out(c->input + image * c->y.size * c->x.size * c->channels, images, c->y.size, c->x.size, c->channels,
                2 * first - c->y.low, 2 * lines + s->size - 2, -c->x.low, 2 * s->right + s->size - 2);
    const ptrdiff_t patches = images * lines * s->right;
    for (ptrdiff_t t0 = 0; t0 < patches; t0 += PATCHES, add = 1) {
      const ptrdiff_t count = least(PATCHES, patches - t0);
      for (ptrdiff_t t = 0; t < count; t++) {
        const ptrdiff_t x = (t0 + t) % s->right * 2, y = (t0 + t) / s->right % lines * 2,
                        n = (t0 + t) / s->right / lines;
        transform_patch(transformed + t * rows, in_apart,
                        view.first + n * view.image + y * view.line + x * c->channels + s->group * c->inside + from,
                        view.line, c->channels, rows, s->size);
        const ptrdiff_t out_y = 2 * first + y;
        const float *g =
            c->gradient + (((image + n) * c->y.out + out_y) * c->x.out + x) * c->filters + s->group * c->across;
        const ptrdiff_t line = c->x.out * c->filters;
        const int high = (int)least(2, c->y.out - out_y), wide = (int)least(2, c->x.out - x);
        float *to = gradients + t * COLUMNS;
        if (s->size == 4)
          transform_gradient(to, out_apart, g, line, c->filters, c->across, high, wide, 4);
        else
          transform_gradient(to, out_apart, g, line, c->filters, c->across, high, wide, 6);
      }
      for (ptrdiff_t spot = 0; spot < s->spots; spot++)
        for (ptrdiff_t p = 0; p < c->across; p += COLUMNS)
          product(&(Product){
              .a = transformed + spot * in_apart,
              .row = row,
              .rows = rows,
              .step = step,
              .depth = count,
              .b = gradients + spot * out_apart + p * PATCHES,
              .out = sums + spot * c->inside * c->across + p,
              .place = place,
              .columns = least(COLUMNS, c->across - p),
              .add = add,
          });
    }
  }
}

/* One channel of the sum of all parts. */
INLINE void transform_sum_of(const Sum *s, ptrdiff_t channel, const int size) {
  const Convolution *c = &s->c;
  const ptrdiff_t apart = c->inside * c->across, over = c->inside * c->filters;
  float *to = c->result + channel * c->filters + s->group * c->across;
  for (ptrdiff_t n = 0; n < c->across; n += LANES) {
    const float *from = s->partial + channel * c->across + n;
    Vector half[MOST][MOST], out[MOST];
    for (int x = 0; x < size; x++) {
      Vector m[MOST];
      for (int y = 0; y < size; y++) {
        m[y] = load(from + (y * size + x) * apart);
        for (ptrdiff_t part = 1; part < s->parts; part++) m[y] += load(from + (part * s->spots + y * size + x) * apart);
      }
      to_kernel(out, m, size);
      for (int y = 0; y < size - 1; y++) half[y][x] = out[y];
    }
    for (int y = 0; y < size - 1; y++) {
      to_kernel(out, half[y], size);
      for (int x = 0; x < size - 1; x++) store(to + (y * (size - 1) + x) * over + n, out[x]);
    }
  }
}

static void transform_sum(const void *data, ptrdiff_t item) {
  const Sum *s = data;
  if (s->size == 4)
    transform_sum_of(s, item, 4);
  else
    transform_sum_of(s, item, 6);
}

void *winograd_kernel_gradient(const Frame *frame, const Convolution *c) {
  Sum s = {.c = *c, .down = divided_up(c->y.out, 2), .right = divided_up(c->x.out, 2)};
  s.size = c->y.kernel + 1, s.spots = s.size * s.size;
  const ptrdiff_t size = s.spots * c->inside * c->across, patches = s.down * s.right;
  s.images = least(c->batch, most(1, PATCHES / patches));
  s.lines = s.images > 1 ? s.down : least(s.down, divided_up(2 * PATCHES, s.right));
  s.bands = divided_up(s.down, s.lines);
  s.units = divided_up(c->batch, s.images) * s.bands;
  s.parts = most(1, least(least(PARTS, s.units), LARGE / size));
  s.partial = shared(s.parts * size);
  if (!s.partial) return no_memory(frame);
  const Threads threads = threads_of(frame);
  s.slices = most(1, least(divided_up(2 * threads.count, s.parts), c->inside / SLICE));
  for (s.group = 0; s.group < c->groups; s.group++) {
    parallel(&threads, add_patches, &s, s.parts * s.slices);
    parallel(&threads, transform_sum, &s, c->inside);
  }
  free(s.partial);
  return NULL;
}
