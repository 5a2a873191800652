#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "parallel.h"
#include "team.h"
#include "vector.h"

/* A bundle: routines one after another in one call, by threads that stay together for all of them. */

/* The routines that a bundle may call, by their numbers. */
/* clang-format off */
#define ROUTINES(EACH) \
  EACH(average_pool) EACH(average_pool_gradient) EACH(channel_moments) EACH(channel_products) EACH(column_sums) \
  EACH(convolution) EACH(convolution_input_gradient) EACH(convolution_kernel_gradient) EACH(dense) \
  EACH(dense_gradient) EACH(dense_rows) EACH(finite) EACH(layer_normalization) EACH(layer_normalization_gradient) \
  EACH(max_pool) EACH(max_pool_gradient) EACH(pass) EACH(response_normalization) \
  EACH(response_normalization_gradient) EACH(row_maxima) EACH(row_sums) EACH(scan) EACH(softmax) EACH(softmax_gradient)
/* clang-format on */
#define DECLARE(name) void *millrace_##name(Frame *frame);
#define NAME(name)    #name,
#define CALL(name)    millrace_##name,
ROUTINES(DECLARE)
static const char *const names[] = {ROUTINES(NAME)};
static void *(*const routines[])(Frame *) = {ROUTINES(CALL)};

EXPORTED int millrace_number(const char *name) {
  for (int n = 0; n < (int)(sizeof names / sizeof *names); n++)
    if (!strcmp(names[n], name)) return n;
  return -1;
}

typedef struct Place { /* of an array, with its shape behind it */
  int64_t kind, index, rank, shape[];
} Place;
enum {
  ARGUMENT,
  RESULT,
  BETWEEN
}; /* kinds; index: which one, or where it begins among the numbers of the last result */

typedef struct Step { /* behind it the places of its arguments, then those of its results, then its own `how` */
  int64_t routine, arguments, results, numbers, rest[];
} Step;

typedef struct Bundle {
  int64_t key;                 /* by which a program knows it */
  int64_t places, steps, most; /* most: arguments and results of one step */
  int64_t rest[];              /* all places, then all steps */
} Bundle;

static const int64_t *read_places(const Frame *frame, const int64_t *at, int64_t count, Buffer *places) {
  float *between = result(frame, (int)frame->results.count - 1);
  for (int64_t n = 0; n < count; n++) {
    const Place *place = (const Place *)at;
    places[n] = (Buffer){
        .size = sizeof(Buffer),
        .type = frame->results.buffers[0]->type,
        .data = place->kind == ARGUMENT ? argument(frame, (int)place->index)
                : place->kind == RESULT ? result(frame, (int)place->index)
                                        : between + place->index,
        .rank = place->rank,
        .shape = (int64_t *)place->shape,
    };
    at = place->shape + place->rank;
  }
  return at;
}

/* What is kept of each step while somebody watches: which bundle and step, and when it began and ended. */
typedef struct Seen {
  int64_t key, step, begin, end; /* nanoseconds of a clock that only goes on */
} Seen;
static struct {
  atomic_int on;
  atomic_llong count;
  Seen seen[1 << 16]; /* more are not kept */
} watch;

/* Begins, and forgets what was seen before; or ends. */
EXPORTED void millrace_watch(int on) {
  if (on) atomic_store(&watch.count, 0);
  atomic_store(&watch.on, on);
}

/* How many steps were seen; they lie at `first`. */
EXPORTED int64_t millrace_seen(const Seen **first) {
  *first = watch.seen;
  return least(atomic_load(&watch.count), sizeof watch.seen / sizeof *watch.seen);
}

static void *see(Frame *frame, const Step *step, int64_t key, int64_t n) {
  if (!atomic_load_explicit(&watch.on, memory_order_relaxed)) return routines[step->routine](frame);
  const int64_t begin = nanoseconds();
  void *error = routines[step->routine](frame);
  const int64_t place = atomic_fetch_add(&watch.count, 1);
  if (place < (int64_t)(sizeof watch.seen / sizeof *watch.seen))
    watch.seen[place] = (Seen){key, n, begin, nanoseconds()};
  return error;
}

ROUTINE(bundle) {
  const Bundle *bundle = (const Bundle *)how(frame);
  Buffer *places = malloc(bundle->places * sizeof *places + bundle->most * sizeof(Buffer *));
  if (!places) return no_memory(frame);
  Buffer **buffers = (Buffer **)(places + bundle->places);
  const int64_t *at = read_places(frame, bundle->rest, bundle->places, places);
  const Members members = {gather(threads_of(frame).count - 1) + 1};
  const Api api = with_team(frame->api);
  void *error = NULL;
  for (int64_t n = 0; n < bundle->steps && !error; n++) {
    const Step *step = (const Step *)at;
    const int64_t *numbers = step->rest + step->arguments + step->results;
    for (int64_t k = 0; k < step->arguments + step->results; k++) buffers[k] = places + step->rest[k];
    Array array = {.size = step->numbers, .data = (void *)numbers};
    void *value = &array;
    Frame one = *frame;
    one.api = &api, one.context = (void *)&members;
    one.arguments.count = step->arguments, one.arguments.buffers = buffers;
    one.results.count = step->results, one.results.buffers = buffers + step->arguments;
    one.attributes.count = 1, one.attributes.values = &value;
    error = see(&one, step, bundle->key, n);
    at = numbers + step->numbers;
  }
  free(places);
  return error;
}
