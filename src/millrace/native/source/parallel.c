#include "parallel.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct Job {
  void (*work)(const void *, ptrdiff_t);
  const void *data;
  ptrdiff_t items;
  atomic_ptrdiff_t next, done;
  atomic_int holders;
} Job;

void relax(int *times) {
  if (++*times > 2000) { /* the one that is waited for may have no core */
    sched_yield();
    return;
  }
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void take_part(Job *job) {
  ptrdiff_t item;
  while ((item = atomic_fetch_add(&job->next, 1)) < job->items) {
    job->work(job->data, item);
    atomic_fetch_add(&job->done, 1);
  }
}

static void leave(void *data) {
  Job *job = data;
  if (atomic_fetch_sub(&job->holders, 1) == 1) free(job);
}

static void helper(void *data) {
  take_part(data);
  leave(data);
}

void hand_over(const Threads *threads, void (*task)(void *), void (*refused)(void *), void *data) {
  ScheduleArguments arguments = {sizeof arguments, NULL, threads->context, task, data};
  void *error = threads->api->schedule(&arguments);
  if (!error) return;
  ErrorHandle handle = {sizeof handle, NULL, error};
  threads->api->error_destroy(&handle);
  refused(data);
}

/* The caller works too, and waits only for parts that others have begun: so no number of busy threads can lock up. */
void parallel(const Threads *threads, void (*work)(const void *, ptrdiff_t), const void *data, ptrdiff_t items) {
  const ptrdiff_t helpers = (items < threads->count ? items : threads->count) - 1;
  Job *job = helpers > 0 ? malloc(sizeof *job) : NULL;
  if (!job) {
    for (ptrdiff_t item = 0; item < items; item++) work(data, item);
    return;
  }
  job->work = work;
  job->data = data;
  job->items = items;
  atomic_init(&job->next, 0);
  atomic_init(&job->done, 0);
  atomic_init(&job->holders, (int)helpers + 1);
  for (ptrdiff_t n = 0; n < helpers; n++) hand_over(threads, helper, leave, job);
  take_part(job);
  for (int times = 0; atomic_load(&job->done) < items;) relax(&times);
  leave(job);
}

Threads threads_of(const Frame *frame) {
  int64_t count = 1;
  ThreadsArguments arguments = {sizeof arguments, NULL, frame->context, &count};
  void *error = frame->api->threads(&arguments);
  if (error) {
    ErrorHandle handle = {sizeof handle, NULL, error};
    frame->api->error_destroy(&handle);
    count = 1;
  }
  return (Threads){frame->api, frame->context, count};
}

static _Thread_local struct {
  void *memory;
  size_t numbers;
} kept[4];

void *scratch(int slot, size_t numbers) {
  if (kept[slot].numbers < numbers) {
    free(kept[slot].memory);
    numbers = (numbers + 1023) / 1024 * 1024;
    kept[slot].memory = aligned_alloc(64, numbers * 8);
    kept[slot].numbers = numbers;
    if (!kept[slot].memory) abort(); /* too late for an error: other threads are at work on the same */
  }
  return kept[slot].memory;
}

float *shared(size_t floats) { return aligned_alloc(64, (floats + 15) / 16 * 64); }
