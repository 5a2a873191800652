#include "depthwise.h"

#include <stdlib.h>

/* kernel[p, q, i, f] = sum over n, y, x of input[n, y * stride + p - low, x * stride + q - low, i] * gradient[n, y, x,
   f], for groups of few channels: for a vector of f, several places p, q, i at once, along a line. */

#define PLACES  9         /* whose sums are in registers */
#define SEGMENT 256       /* positions of a line at a time, at most */
#define LARGE   (1 << 20) /* numbers of all the partial sums together */
#define PARTS   16        /* partial sums at most */
#define WORTH   (1 << 17) /* multiplications from which on a second thread is woken */

typedef struct Sum {
  Convolution c;
  Grouped g;
  ptrdiff_t places;          /* of the kernel, with the channels of a group */
  ptrdiff_t segments, units; /* of a line; of all lines */
  ptrdiff_t parts, slices;   /* partial sums, each over some of the units; slices of the blocks */
  float *partial;            /* [parts, blocks, places, LANES] */
} Sum;

typedef struct Place {
  ptrdiff_t offset; /* from the pixel that a line's first position meets with the kernel's first place */
  ptrdiff_t number; /* of all places */
  int i;
} Place;

typedef struct Stretch { /* positions of a line and several places */
  const float *input, *gradient;
  ptrdiff_t apart, filters; /* from position to position in them */
  ptrdiff_t positions;
  const Place *place;
  const unsigned short *seen; /* by position, a bit for each place that lies on the image there */
} Stretch;

INLINE void add_up(const Stretch *s, const Block *b, Lanes first, float *sums, const int places, const int deal,
                   const int some) {
  Vector sum[PLACES];
  Lanes which[PLACES];
  ptrdiff_t offset[PLACES];
  UNROLL
  for (int k = 0; k < places; k++) {
    sum[k] = (Vector){0}, which[k] = first + s->place[k].i, offset[k] = s->place[k].offset;
  }
  const float *input = s->input + b->from, *gradient = s->gradient + b->to;
  const int reads = b->reads, columns = b->columns;
  for (ptrdiff_t x = 0; x < s->positions; x++, input += s->apart, gradient += s->filters) {
    const Vector given = columns == LANES ? load(gradient) : load_some(gradient, columns);
    const unsigned seen = s->seen[x];
    if (seen == (1u << places) - 1) {
      UNROLL
      for (int k = 0; k < places; k++) sum[k] += seen_by(input + offset[k], reads, which[k], deal, some) * given;
    } else {
      UNROLL
      for (int k = 0; k < places; k++)
        if (seen >> k & 1) sum[k] += seen_by(input + offset[k], reads, which[k], deal, some) * given;
    }
  }
  UNROLL
  for (int k = 0; k < places; k++) {
    float *to = sums + s->place[k].number * LANES;
    store(to, load(to) + sum[k]);
  }
}

INLINE void add_places(const Stretch *s, const Block *b, Lanes first, float *sums, int places, const int deal,
                       const int some) {
  switch (places) {
#define CASE(n) \
  case n:       \
    return add_up(s, b, first, sums, n, deal, some);
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9)
  }
}

#define WAY(name, deal, some)                                                                \
  static void name(const Stretch *s, const Block *b, Lanes first, float *sums, int places) { \
    add_places(s, b, first, sums, places, deal, some);                                       \
  }
WAY(as_it_is, 0, 0)
WAY(some_as_they_are, 0, 1)
WAY(dealt, 1, 0)
WAY(some_dealt, 1, 1)

/* The places of the kernel that line y of the output meets. */
static ptrdiff_t places_of(const Convolution *c, ptrdiff_t y, Place *place) {
  ptrdiff_t count = 0;
  for (ptrdiff_t p = 0; p < c->y.kernel; p++) {
    const ptrdiff_t line = y * c->y.stride + p * c->y.dilation - c->y.low;
    if (line < 0 || line >= c->y.size) continue;
    for (ptrdiff_t q = 0; q < c->x.kernel; q++)
      for (ptrdiff_t i = 0; i < c->inside; i++)
        place[count++] = (Place){(line * c->x.size + q * c->x.dilation - c->x.low) * c->channels,
                                 (p * c->x.kernel + q) * c->inside + i, (int)i};
  }
  return count;
}

/* Which of these places lie on the image, for each of the positions from `first` on. */
static void look(const Convolution *c, const Place *place, ptrdiff_t places, ptrdiff_t first, ptrdiff_t positions,
                 unsigned short *seen) {
  memset(seen, 0, positions * sizeof *seen);
  for (ptrdiff_t k = 0; k < places; k++) {
    const ptrdiff_t q = place[k].number / c->inside % c->x.kernel, before = c->x.low - q * c->x.dilation;
    const ptrdiff_t from = most(first, divided_up(most(0, before), c->x.stride));
    const ptrdiff_t until = least(first + positions, divided_up(most(0, c->x.size + before), c->x.stride));
    for (ptrdiff_t x = from; x < until; x++) seen[x - first] |= (unsigned short)(1u << k);
  }
}

static void part_of(const void *data, ptrdiff_t item) {
  const Sum *s = data;
  const Convolution *c = &s->c;
  const Grouped *g = &s->g;
  const ptrdiff_t part = item / s->slices, slice = item % s->slices;
  const ptrdiff_t from = g->blocks * slice / s->slices, until = g->blocks * (slice + 1) / s->slices;
  const int deal = g->inside > 1 || g->across > 1;
  const Lanes first = taken(g);
  float *sums = s->partial + part * g->blocks * s->places * LANES;
  memset(sums + from * s->places * LANES, 0, (until - from) * s->places * LANES * sizeof(float));
  Place *place = scratch(1, 3 * s->places);
  unsigned short *seen = scratch(2, divided_up(SEGMENT, 4));
  const ptrdiff_t end = s->units * (part + 1) / s->parts;
  for (ptrdiff_t unit = s->units * part / s->parts; unit < end; unit++) {
    const ptrdiff_t line = unit / s->segments, segment = unit % s->segments;
    const ptrdiff_t begin = c->x.out * segment / s->segments;
    const ptrdiff_t places = places_of(c, line % c->y.out, place);
    Stretch t = {
        .input = c->input + (line / c->y.out * c->y.size * c->x.size + begin * c->x.stride) * c->channels,
        .gradient = c->gradient + (line * c->x.out + begin) * c->filters,
        .apart = c->x.stride * c->channels,
        .filters = c->filters,
        .positions = c->x.out * (segment + 1) / s->segments - begin,
        .seen = seen,
    };
    for (ptrdiff_t k = 0; k < places; k += PLACES) {
      const int count = (int)least(PLACES, places - k);
      t.place = place + k;
      look(c, t.place, count, begin, t.positions, seen);
      for (ptrdiff_t n = from; n < until; n++) {
        const Block b = block_of(g, n);
        const int some = b.from + LANES > c->channels;
        (deal   ? some ? some_dealt : dealt
         : some ? some_as_they_are
                : as_it_is)(&t, &b, first, sums + n * s->places * LANES, count);
      }
    }
  }
}

static void gather(const void *data, ptrdiff_t n) {
  const Sum *s = data;
  const Block b = block_of(&s->g, n);
  const ptrdiff_t size = s->g.blocks * s->places * LANES;
  for (ptrdiff_t k = 0; k < s->places; k++) {
    const float *from = s->partial + (n * s->places + k) * LANES;
    Vector sum = load(from);
    for (ptrdiff_t part = 1; part < s->parts; part++) sum += load(from + part * size);
    store_some(s->c.result + k * s->c.filters + b.to, sum, b.columns);
  }
}

void *depthwise_kernel_gradient(const Frame *frame, const Convolution *c) {
  Sum s = {.c = *c, .g = grouped(c->inside, c->across, c->groups)};
  s.places = c->y.kernel * c->x.kernel * c->inside;
  s.segments = divided_up(c->x.out, SEGMENT);
  s.units = c->batch * c->y.out * s.segments;
  const ptrdiff_t size = s.g.blocks * s.places * LANES;
  s.parts = most(1, least(least(PARTS, s.units), LARGE / size));
  s.partial = shared(s.parts * size);
  if (!s.partial) return no_memory(frame);
  Threads threads = threads_of(frame);
  if (c->batch * c->y.out * c->x.out * s.places * c->filters < WORTH) threads.count = 1;
  s.slices = least(s.g.blocks, divided_up(2 * threads.count, s.parts));
  parallel(&threads, part_of, &s, s.parts * s.slices);
  parallel(&threads, gather, &s, s.g.blocks);
  free(s.partial);
  return NULL;
}
