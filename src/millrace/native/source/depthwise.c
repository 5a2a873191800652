#include "depthwise.h"

#include <stdlib.h>

/* ---- The convolution, or, turned, the gradient of its output to that of its input: for each position the sum over the
   taps that lie on the image, for several neighbouring positions at once. Nothing is copied to have edges. */

#define POSITIONS 8         /* of a strip */
#define BAND      (1 << 15) /* numbers of the result that one thread takes at a time, at least */
#define WORTH     (1 << 17) /* multiplications from which on a second thread is woken */

typedef struct Tap {
  ptrdiff_t offset, weights; /* where it lies, from a strip's first position on, and its first weights in a block's */
} Tap;

typedef struct Phase { /* the positions of a line, `stride` apart, that meet the same columns of the kernel */
  ptrdiff_t first, count;
  ptrdiff_t begin, taps; /* which these columns are, in Pass.column */
} Phase;

typedef struct Column {
  ptrdiff_t tap, shift; /* position j of the phase meets pixel j * step + shift */
} Column;

struct Strip;

typedef struct Pass {
  Convolution c;
  Grouped g;
  int turned;
  const float *from;
  float *to, *weights;               /* weights [blocks, taps, inside, LANES] */
  ptrdiff_t height, width, channels; /* of what is read */
  ptrdiff_t high, wide, filters;     /* of what comes out */
  ptrdiff_t step, stride, phases;    /* along a line: from position to position in what is read, and written */
  ptrdiff_t lines, pieces;           /* how the work is cut: lines of all images, and pieces of a line */
  Phase *phase;
  Column *column;
  Block *block;
  void (*by_neighbours)(const struct Strip *, const struct Pass *);
  ptrdiff_t size, roomy; /* weights of a block; blocks that may be read in whole vectors */
} Pass;

typedef struct Strip {
  const float *from;
  ptrdiff_t apart; /* of positions in what is read */
  float *to;
  ptrdiff_t spread; /* and in what is written */
  const Tap *tap;
  ptrdiff_t taps, columns; /* in all, and in a line of the kernel */
  const unsigned *seen;    /* by column, a bit for each position that lies on the image there */
  int positions;
} Strip;

/* For some of the blocks: all positions or those that are seen; the numbers of a pixel as they lie, or dealt out to the
   results; whole vectors of them, or some. */
INLINE void compute(const Strip *t, const Pass *p, ptrdiff_t begin, ptrdiff_t end, const int whole, const int deal,
                    const int some) {
  const Lanes first = taken(&p->g);
  const ptrdiff_t inside = deal ? p->g.inside : 1, spread = t->spread;
  const Tap *const last = t->tap + t->taps;
  for (ptrdiff_t n = begin; n < end; n++) {
    const Block *b = &p->block[n];
    const int reads = some ? b->reads : LANES;
    const float *weights = p->weights + n * p->size, *from[POSITIONS];
    Vector sum[POSITIONS];
    UNROLL
    for (int r = 0; r < POSITIONS; r++) from[r] = t->from + b->from + r * t->apart, sum[r] = (Vector){0};
    const unsigned *seen = t->seen;
    for (const Tap *tap = t->tap; tap < last; tap++) {
      const ptrdiff_t offset = tap->offset;
      const float *w = weights + tap->weights;
      for (ptrdiff_t i = 0; i < inside; i++) {
        const Vector weight = load(w + i * LANES);
        const Lanes which = first + (int)i;
        UNROLL
        for (int r = 0; r < POSITIONS; r++)
          if (whole || *seen >> r & 1) sum[r] += seen_by(from[r] + offset, reads, which, deal, some) * weight;
      }
      if (!whole && ++seen == t->seen + t->columns) seen = t->seen;
    }
    float *to = t->to + b->to;
    const int columns = b->columns;
    if (columns == LANES) {
      UNROLL
      for (int r = 0; r < POSITIONS; r++, to += spread)
        if (whole || r < t->positions) store(to, sum[r]);
    } else {
      UNROLL
      for (int r = 0; r < POSITIONS; r++, to += spread)
        if (whole || r < t->positions) store_some(to, sum[r], columns);
    }
  }
}

/* All positions, where neighbouring ones meet neighbouring pixels, as with a stride and a dilation of 1: each pixel is
   loaded once for `width` columns of the kernel. 3 x 3: 99 GFLOP/s of a core for 61 (Zen 4). */
INLINE void compute_neighbours(const Strip *t, const Pass *p, const int width) {
  const ptrdiff_t spread = t->spread, apart = t->apart, blocks = p->roomy, size = p->size;
  const Tap *const first = t->tap, *const last = first + t->taps;
  const float *weights = p->weights, *begin = t->from;
  float *to = t->to;
  for (ptrdiff_t n = 0; n < blocks; n++, begin += LANES, to += LANES, weights += size) {
    Vector sum[POSITIONS];
    UNROLL
    for (int r = 0; r < POSITIONS; r++) sum[r] = (Vector){0};
    for (const Tap *tap = first; tap < last; tap += width) {
      const float *from = begin + tap->offset;
      Vector weight[7];
      UNROLL
      for (int q = 0; q < width; q++) weight[q] = load(weights + tap[q].weights);
      UNROLL
      for (int x = 0; x < POSITIONS + width - 1; x++) {
        Vector pixel = load(from + x * apart);
        IN_REGISTER(pixel);
        UNROLL
        for (int r = 0; r < POSITIONS; r++)
          if (x - r >= 0 && x - r < width) sum[r] += pixel * weight[x - r];
      }
    }
    UNROLL
    for (int r = 0; r < POSITIONS; r++) store(to + r * spread, sum[r]);
  }
}

static __attribute__((noinline)) void by_7(const Strip *t, const Pass *p) { compute_neighbours(t, p, 7); }
static __attribute__((noinline)) void by_5(const Strip *t, const Pass *p) { compute_neighbours(t, p, 5); }
static __attribute__((noinline)) void by_3(const Strip *t, const Pass *p) { compute_neighbours(t, p, 3); }
static __attribute__((noinline)) void by_2(const Strip *t, const Pass *p) { compute_neighbours(t, p, 2); }

/* How all positions of a strip are computed in this way, or NULL. */
static void (*neighbours(const Pass *p))(const Strip *, const Pass *) {
  if (p->g.inside > 1 || p->g.across > 1 || p->step > 1 || p->stride > 1 || p->c.x.dilation > 1) return NULL;
  const ptrdiff_t k = p->c.x.kernel;
  return k % 7 == 0 ? by_7 : k % 5 == 0 ? by_5 : k % 3 == 0 ? by_3 : k % 2 == 0 ? by_2 : NULL;
}

#define WAY(name, whole, deal, some)                                                                      \
  static __attribute__((noinline)) void name(const Strip *t, const Pass *p, ptrdiff_t n, ptrdiff_t end) { \
    compute(t, p, n, end, whole, deal, some);                                                             \
  }
WAY(whole_as_it_is, 1, 0, 0)
WAY(whole_some, 1, 0, 1)
WAY(whole_dealt, 1, 1, 0)
WAY(whole_some_dealt, 1, 1, 1)
WAY(part_as_it_is, 0, 0, 0)
WAY(part_some, 0, 0, 1)
WAY(part_dealt, 0, 1, 0)
WAY(part_some_dealt, 0, 1, 1)

static void all_blocks(const Strip *t, const Pass *p, int whole) {
  const int deal = p->g.inside > 1 || p->g.across > 1;
  if (whole && p->by_neighbours)
    p->by_neighbours(t, p);
  else if (p->roomy)
    (whole ? deal ? whole_dealt : whole_as_it_is : deal ? part_dealt : part_as_it_is)(t, p, 0, p->roomy);
  if (p->roomy < p->g.blocks)
    (whole ? deal ? whole_some_dealt : whole_some : deal ? part_some_dealt : part_some)(t, p, p->roomy, p->g.blocks);
}

/* The line that is read where this line of the result meets line p of the kernel, or -1. */
static ptrdiff_t met(const Pass *p, ptrdiff_t y, ptrdiff_t tap) {
  const Axis *a = &p->c.y;
  const ptrdiff_t at = p->turned ? y + a->low - tap * a->dilation : y * a->stride + tap * a->dilation - a->low;
  if (p->turned && at % a->stride != 0) return -1;
  const ptrdiff_t line = p->turned ? at / a->stride : at;
  return at >= 0 && line < p->height ? line : -1;
}

/* The taps of this phase that line y of the result meets. */
static ptrdiff_t taps_of(const Pass *p, const Phase *h, ptrdiff_t y, Tap *tap) {
  ptrdiff_t count = 0;
  for (ptrdiff_t n = 0; n < p->c.y.kernel; n++) {
    const ptrdiff_t line = met(p, y, n);
    if (line < 0) continue;
    for (const Column *q = p->column + h->begin; q < p->column + h->begin + h->taps; q++)
      tap[count++] =
          (Tap){(line * p->width + q->shift) * p->channels, (n * p->c.x.kernel + q->tap) * p->g.inside * LANES};
  }
  return count;
}

/* Which positions from the j-th on lie on the image, for each column of the kernel; whether all do. */
static int look(const Pass *p, const Phase *h, ptrdiff_t j, int positions, unsigned *seen) {
  int all = positions == POSITIONS;
  for (ptrdiff_t n = 0; n < h->taps; n++) {
    const ptrdiff_t first = j * p->step + p->column[h->begin + n].shift;
    if (first >= 0 && first + (positions - 1) * p->step < p->width) {
      seen[n] = (1u << positions) - 1;
      continue;
    }
    all = 0, seen[n] = 0;
    for (int r = 0; r < positions; r++)
      if (first + r * p->step >= 0 && first + r * p->step < p->width) seen[n] |= 1u << r;
  }
  return all;
}

static void lines_of(const void *data, ptrdiff_t item) {
  const Pass *p = data;
  const ptrdiff_t piece = item % p->pieces, begin = item / p->pieces * p->lines;
  const ptrdiff_t end = least(begin + p->lines, p->c.batch * p->high), taps = p->c.y.kernel * p->c.x.kernel;
  Tap *tap = scratch(1, 2 * taps + p->c.x.kernel);
  unsigned *seen = (unsigned *)(tap + taps);
  for (ptrdiff_t line = begin; line < end; line++) {
    const ptrdiff_t image = line / p->high;
    for (const Phase *h = p->phase; h < p->phase + p->phases; h++) {
      const ptrdiff_t from = h->count * piece / p->pieces, until = h->count * (piece + 1) / p->pieces;
      const ptrdiff_t strips = divided_up(until - from, POSITIONS);
      Strip t = {
          .apart = p->step * p->channels,
          .spread = p->stride * p->filters,
          .tap = tap,
          .taps = taps_of(p, h, line % p->high, tap),
          .columns = h->taps,
          .seen = seen,
      };
      for (ptrdiff_t n = 0; n < strips; n++) {
        const ptrdiff_t j = from + (until - from) * n / strips, next = from + (until - from) * (n + 1) / strips;
        t.positions = (int)(next - j);
        t.from = p->from + (image * p->height * p->width + j * p->step) * p->channels;
        t.to = p->to + (line * p->wide + h->first + j * p->stride) * p->filters;
        all_blocks(&t, p, look(p, h, j, t.positions, seen));
      }
    }
  }
}

/* A block's weights side by side, so that those of a thousand channels do not lie in each other's place in the cache,
   and filled up to whole vectors. */
static void pack_block(const void *data, ptrdiff_t n) {
  const Pass *p = data;
  const Convolution *c = &p->c;
  const Grouped *g = &p->g;
  const Block b = p->block[n];
  const ptrdiff_t taps = c->y.kernel * c->x.kernel, deep = g->inside;
  float *to = p->weights + n * taps * deep * LANES;
  memset(to, 0, taps * deep * LANES * sizeof(float));
  for (int l = 0; l < b.columns; l++) {
    const ptrdiff_t group = (b.to + l) / g->across, member = (b.to + l) % g->across;
    const float *from = c->kernel + (p->turned ? member * c->filters + group * deep : b.to + l);
    const ptrdiff_t next = p->turned ? g->across * c->filters : deep * c->filters, along = p->turned ? 1 : c->filters;
    for (ptrdiff_t tap = 0; tap < taps; tap++)
      for (ptrdiff_t i = 0; i < deep; i++) to[(tap * deep + i) * LANES + l] = from[tap * next + i * along];
  }
}

/* Forward, all positions of a line meet all columns of the kernel. Turned, those of which the stride leaves the same
   remainder do. */
static void set_phases(Pass *p) {
  const Axis *a = &p->c.x;
  ptrdiff_t begin = 0;
  for (ptrdiff_t h = 0; h < p->phases; h++) {
    Phase *phase = &p->phase[h];
    phase->first = p->turned ? ((h - a->low) % a->stride + a->stride) % a->stride : 0;
    phase->count = most(0, divided_up(p->wide - phase->first, p->stride));
    phase->begin = begin;
    for (ptrdiff_t n = 0; n < a->kernel; n++) {
      const ptrdiff_t q = p->turned ? a->kernel - 1 - n : n;
      const ptrdiff_t at = p->turned ? phase->first + a->low - q * a->dilation : q * a->dilation - a->low;
      if (p->turned && at % a->stride != 0) continue;
      p->column[begin++] = (Column){q, p->turned ? at / a->stride : at};
    }
    phase->taps = begin - phase->begin;
  }
}

static void *run(const Frame *frame, Pass *p) {
  const Convolution *c = &p->c;
  p->size = c->y.kernel * c->x.kernel * p->g.inside * LANES;
  const ptrdiff_t lines = c->batch * p->high;
  p->weights = shared(p->g.blocks * p->size);
  p->block = malloc(p->g.blocks * sizeof *p->block);
  p->phase = malloc(p->phases * sizeof *p->phase), p->column = malloc(c->x.kernel * sizeof *p->column);
  void *error = NULL;
  if (p->weights && p->block && p->phase && p->column) {
    set_phases(p);
    p->by_neighbours = neighbours(p);
    for (ptrdiff_t n = 0; n < p->g.blocks; n++) {
      p->block[n] = block_of(&p->g, n);
      if (p->block[n].from + LANES <= p->channels) p->roomy = n + 1;
    }
    Threads threads = threads_of(frame);
    if (lines * p->wide * p->filters * c->y.kernel * c->x.kernel * p->g.inside < WORTH) threads.count = 1;
    p->lines = least(divided_up(BAND, p->wide * p->filters), divided_up(lines, 4 * threads.count));
    p->pieces = most(1, least(4 * threads.count / lines, p->wide / p->stride / POSITIONS));
    parallel(&threads, pack_block, p, p->g.blocks);
    parallel(&threads, lines_of, p, divided_up(lines, p->lines) * p->pieces);
  } else {
    error = no_memory(frame);
  }
  free(p->weights), free(p->block), free(p->phase), free(p->column);
  return error;
}

/* One core of a Zen 4, AVX-512, 64 groups on 28 x 28, beside a product for each group: a tenth of the time with 1
   channel and filter, a third with 2, half with 4, as much with 8, where the products' tiles are full. With 2 or 3
   groups in all a vector is nearly empty. */
int is_depthwise(const Convolution *c) { return c->groups >= 4 && c->inside <= 4 && c->across <= 4; }

void *depthwise(const Frame *frame, const Convolution *c) {
  return run(frame, &(Pass){
                        .c = *c,
                        .g = grouped(c->inside, c->across, c->groups),
                        .from = c->input,
                        .to = c->result,
                        .height = c->y.size,
                        .width = c->x.size,
                        .channels = c->channels,
                        .high = c->y.out,
                        .wide = c->x.out,
                        .filters = c->filters,
                        .step = c->x.stride,
                        .stride = 1,
                        .phases = 1,
                    });
}

void *depthwise_input_gradient(const Frame *frame, const Convolution *c) {
  return run(frame, &(Pass){
                        .c = *c,
                        .g = grouped(c->across, c->inside, c->groups),
                        .turned = 1,
                        .from = c->gradient,
                        .to = c->result,
                        .height = c->y.out,
                        .width = c->x.out,
                        .channels = c->filters,
                        .high = c->y.size,
                        .wide = c->x.size,
                        .filters = c->channels,
                        .step = 1,
                        .stride = c->x.stride,
                        .phases = c->x.stride,
                    });
}
