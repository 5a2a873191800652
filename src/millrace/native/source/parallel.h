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

/* work(data, 0), ..., work(data, items - 1), in any order on whichever threads are free; returns when all are done.
   What a part computes must not depend on how many threads there are, so that results do not. */
void parallel(const Threads *threads, void (*work)(const void *data, ptrdiff_t item), const void *data,
              ptrdiff_t items);

/* Memory of this thread's own, for this many numbers of 8 bytes: kept, and overwritten by the next use of the slot. */
void *scratch(int slot, size_t numbers);

/* Memory that all threads see, for this many floats, or NULL; give it back with free(). */
float *shared(size_t floats);

#endif
