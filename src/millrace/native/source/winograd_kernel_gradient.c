#include "winograd.h"

#include <stdlib.h>

/* The transpose of the other two: kernel = G^T (sum over patches of (B^T d B) * (A g A^T)) G, d 4 x 4 of the input and
   g 2 x 2 of the output's gradient. The sum is a product of matrices for each spot, whose depth are the patches. */

#define LARGE (1 << 19) /* numbers of all the partial sums together */
#define PARTS 8         /* partial sums at most */
#define PATCHES 64      /* at a time */
#define SLICE 64        /* channels at least that a thread takes for itself */

typedef struct Sum {
  Convolution c;
  ptrdiff_t group;
  float *partial; /* [parts, SPOTS, inside, across] */
  ptrdiff_t down, right, images, lines, bands, units, parts, slices;
} Sum;

/* A g A^T, with A = [1 0; 1 1; 1 -1; 0 -1], to panels [SPOTS, panels, PATCHES, COLUMNS]; what lies outside is zero. */
static void transform_gradient(float *to, ptrdiff_t apart, const float *from, ptrdiff_t line, ptrdiff_t pixel,
                               ptrdiff_t filters, int down, int right) {
  const Vector zero = {0};
  for (ptrdiff_t n = 0; n < filters; n += LANES) {
    Vector half[4][2];
    for (int x = 0; x < 2; x++) {
      const float *g = from + x * pixel + n;
      const Vector g0 = x < right ? load(g) : zero, g1 = x < right && down > 1 ? load(g + line) : zero;
      half[0][x] = g0;
      half[1][x] = g0 + g1;
      half[2][x] = g0 - g1;
      half[3][x] = -g1;
    }
    float *spot = to + n / COLUMNS * PATCHES * COLUMNS + n % COLUMNS;
    for (int y = 0; y < 4; y++, spot += 4 * apart) {
      store(spot, half[y][0]);
      store(spot + apart, half[y][0] + half[y][1]);
      store(spot + 2 * apart, half[y][0] - half[y][1]);
      store(spot + 3 * apart, -half[y][1]);
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
  float *transformed = scratch(2, SPOTS * divided_up(in_apart + out_apart, 2)), *gradients = transformed + SPOTS * in_apart;
  ptrdiff_t *row = scratch(1, 2 * rows + PATCHES), *place = row + rows, *step = place + rows;
  for (ptrdiff_t r = 0; r < rows; r++) row[r] = r, place[r] = r * c->across;
  for (ptrdiff_t t = 0; t < PATCHES; t++) step[t] = t * rows;
  float *sums = s->partial + (part * SPOTS * c->inside + from) * c->across;
  int add = 0;
  for (ptrdiff_t unit = begin; unit < end; unit++) {
    const ptrdiff_t image = unit / s->bands * s->images, images = least(s->images, c->batch - image);
    const ptrdiff_t first = unit % s->bands * s->lines, lines = least(s->lines, s->down - first);
    const View view = cut_out(c->input + image * c->y.size * c->x.size * c->channels, images, c->y.size, c->x.size,
                              c->channels, 2 * first - c->y.low, 2 * lines + 2, -c->x.low, 2 * s->right + 2);
    const ptrdiff_t patches = images * lines * s->right;
    for (ptrdiff_t t0 = 0; t0 < patches; t0 += PATCHES, add = 1) {
      const ptrdiff_t count = least(PATCHES, patches - t0);
      for (ptrdiff_t t = 0; t < count; t++) {
        const ptrdiff_t x = (t0 + t) % s->right * 2, y = (t0 + t) / s->right % lines * 2, n = (t0 + t) / s->right / lines;
        transform_patch(transformed + t * rows, in_apart,
                        view.first + n * view.image + y * view.line + x * c->channels + s->group * c->inside + from, view.line, c->channels,
                        rows);
        const ptrdiff_t out_y = 2 * first + y;
        transform_gradient(gradients + t * COLUMNS, out_apart,
                           c->gradient + (((image + n) * c->y.out + out_y) * c->x.out + x) * c->filters +
                               s->group * c->across,
                           c->x.out * c->filters, c->filters, c->across, (int)least(2, c->y.out - out_y), (int)least(2, c->x.out - x));
      }
      for (ptrdiff_t spot = 0; spot < SPOTS; spot++)
        for (ptrdiff_t p = 0; p < c->across; p += COLUMNS)
          product(&(Product){
              .a = transformed + spot * in_apart, .row = row, .rows = rows, .step = step, .depth = count,
              .b = gradients + spot * out_apart + p * PATCHES,
              .out = sums + spot * c->inside * c->across + p, .place = place,
              .columns = least(COLUMNS, c->across - p), .add = add,
          });
    }
  }
}

/* G^T m G of the sum of all parts, with G^T = [1 1/2 1/2 0; 0 1/2 -1/2 0; 0 1/2 1/2 1]; one channel an item. */
static void transform_sum(const void *data, ptrdiff_t item) {
  const Sum *s = data;
  const Convolution *c = &s->c;
  const ptrdiff_t apart = c->inside * c->across, over = c->inside * c->filters;
  for (ptrdiff_t n = item * c->across; n < (item + 1) * c->across; n += LANES) {
    Vector half[3][4];
    for (int x = 0; x < 4; x++) {
      Vector m[4];
      for (int y = 0; y < 4; y++) {
        m[y] = load(s->partial + (y * 4 + x) * apart + n);
        for (ptrdiff_t part = 1; part < s->parts; part++) m[y] += load(s->partial + (part * SPOTS + y * 4 + x) * apart + n);
      }
      half[0][x] = m[0] + (m[1] + m[2]) * 0.5f;
      half[1][x] = (m[1] - m[2]) * 0.5f;
      half[2][x] = (m[1] + m[2]) * 0.5f + m[3];
    }
    float *to = c->result + item * c->filters + s->group * c->across + n - item * c->across;
    for (int y = 0; y < 3; y++) {
      const Vector *h = half[y];
      store(to + (y * 3 + 0) * over, h[0] + (h[1] + h[2]) * 0.5f);
      store(to + (y * 3 + 1) * over, (h[1] - h[2]) * 0.5f);
      store(to + (y * 3 + 2) * over, (h[1] + h[2]) * 0.5f + h[3]);
    }
  }
}

void *winograd_kernel_gradient(const Frame *frame, const Convolution *c) {
  Sum s = {.c = *c, .down = divided_up(c->y.out, 2), .right = divided_up(c->x.out, 2)};
  const ptrdiff_t size = SPOTS * c->inside * c->across, patches = s.down * s.right;
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
