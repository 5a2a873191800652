/* Work in parts, on XLA's own threads, and memory to work in. */
#ifndef PARALLEL_H
#define PARALLEL_H

#include "ffi.h"

typedef struct Threads {
  const Api *api;
  void *context;
  ptrdiff_t count;
} Threads;

Threads threads_of(const Frame *frame);

/* Hands a task to another thread, which may run it whenever it likes; calls `refused` where none takes it. */
void hand_over(const Threads *threads, void (*task)(void *data), void (*refused)(void *data), void *data);

/* work(data, 0), ..., work(data, items - 1), in any order on whichever threads are free; returns when all are done.
   What a part computes must not depend on how many threads there are, so that results do not. */
void parallel(const Threads *threads, void (*work)(const void *data, ptrdiff_t item), const void *data,
              ptrdiff_t items);

/* work(data, turn, 0), ..., work(data, turn, items - 1) as above, then after(data, turn) on one thread, for turn 0,
   ..., turns - 1: the same threads stay for all turns, where there is no time to wake them for each. */
void in_turns(const Threads *threads, void (*work)(const void *data, ptrdiff_t turn, ptrdiff_t item),
              void (*after)(const void *data, ptrdiff_t turn), const void *data, ptrdiff_t turns, ptrdiff_t items);

/* Between two looks at what another thread is about to say; how often, so far. */
void relax(int *times);

#define MOST_ITEMS 16 /* of a turn */

/* Memory of this thread's own, for this many numbers of 8 bytes: kept, and overwritten by the next use of the slot. */
void *scratch(int slot, size_t numbers);

/* Memory that all threads see, for this many floats, or NULL; give it back with free(). */
float *shared(size_t floats);

#endif
