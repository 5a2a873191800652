#include "team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "parallel.h"
#include "vector.h"

#define WAITING 64 /* tasks that nobody has begun, at most */
/* Nanoseconds until a thread sleeps: longer than Python takes from step to step, 0.3 to 0.5 ms with two dozen
   variables. */
#define LINGER 1000000

typedef struct Task {
  void (*run)(void *);
  void *data;
} Task;

static struct {
  _Alignas(64) atomic_int waiting;
  atomic_int looking, sleeping; /* threads that look out for a task; that have to be woken */
  _Alignas(64) atomic_flag locked;
  int first;
  Task tasks[WAITING];
  _Alignas(64) pthread_mutex_t mutex;
  pthread_cond_t wanted;
  _Atomic int64_t members;
} team = {.locked = ATOMIC_FLAG_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .wanted = PTHREAD_COND_INITIALIZER};

static void lock(void) {
  for (int times = 0; atomic_flag_test_and_set_explicit(&team.locked, memory_order_acquire);) relax(&times);
}

static void unlock(void) { atomic_flag_clear_explicit(&team.locked, memory_order_release); }

/* The task that has waited longest, or none. */
static Task taken(void) {
  Task task = {0};
  if (!atomic_load_explicit(&team.waiting, memory_order_relaxed)) return task;
  lock();
  const int waiting = atomic_load_explicit(&team.waiting, memory_order_relaxed);
  if (waiting) {
    task = team.tasks[team.first];
    team.first = (team.first + 1) % WAITING;
    atomic_store(&team.waiting, waiting - 1);
  }
  unlock();
  return task;
}

int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static Task found(void) {
  const int64_t since = nanoseconds();
  Task task = taken();
  atomic_fetch_add(&team.looking, 1);
  while (!task.run && nanoseconds() - since < LINGER) {
    for (int n = 0; n < 32 && !atomic_load_explicit(&team.waiting, memory_order_relaxed);) relax(&n);
    sched_yield(); /* for whoever else has something to do */
    task = taken();
  }
  atomic_fetch_sub(&team.looking, 1);
  return task.run ? task : taken();
}

static void *member(void *nothing) {
  for (;;) {
    const Task task = found();
    if (task.run) {
      task.run(task.data);
      continue;
    }
    pthread_mutex_lock(&team.mutex);
    atomic_fetch_add(&team.sleeping, 1);
    while (!atomic_load(&team.waiting)) pthread_cond_wait(&team.wanted, &team.mutex);
    atomic_fetch_sub(&team.sleeping, 1);
    pthread_mutex_unlock(&team.mutex);
  }
  return nothing;
}

void give(void (*run)(void *), void *data) {
  lock();
  const int waiting = atomic_load_explicit(&team.waiting, memory_order_relaxed);
  if (waiting < WAITING) {
    team.tasks[(team.first + waiting) % WAITING] = (Task){run, data};
    atomic_store(&team.waiting, waiting + 1);
  }
  unlock();
  if (waiting == WAITING) {
    run(data);
  } else if (atomic_load(&team.sleeping) && waiting >= atomic_load(&team.looking)) {
    pthread_mutex_lock(&team.mutex);
    pthread_cond_signal(&team.wanted);
    pthread_mutex_unlock(&team.mutex);
  }
}

/* In the child of a fork there are none of these threads, nobody who waits for a task, and nobody to give back a lock.
 */
static void begin_anew(void) {
  atomic_store(&team.members, 0);
  atomic_store(&team.waiting, 0);
  atomic_store(&team.looking, 0);
  atomic_store(&team.sleeping, 0);
  pthread_mutex_init(&team.mutex, NULL);
  pthread_cond_init(&team.wanted, NULL);
  unlock();
}

int64_t gather(int64_t wanted) {
  static int told; /* what to do in a child */
  if (atomic_load(&team.members) >= wanted) return wanted;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes)) return least(atomic_load(&team.members), wanted);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  pthread_mutex_lock(&team.mutex);
  if (!told) told = !pthread_atfork(NULL, NULL, begin_anew);
  while (atomic_load(&team.members) < wanted && !pthread_create(&thread, &attributes, member, NULL))
    atomic_fetch_add(&team.members, 1);
  pthread_mutex_unlock(&team.mutex);
  pthread_attr_destroy(&attributes);
  return least(atomic_load(&team.members), wanted); /* others may have wanted more meanwhile */
}

static void *schedule(ScheduleArguments *arguments) {
  give(arguments->task, arguments->data);
  return NULL;
}

static void *count(ThreadsArguments *arguments) {
  *arguments->count = ((const Members *)arguments->context)->count;
  return NULL;
}

Api with_team(const Api *api) {
  Api ours = *api; /* as far as it is declared here */
  ours.schedule = schedule;
  ours.threads = count;
  return ours;
}
