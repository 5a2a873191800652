#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "parallel.h"

/* Threads that stay together for many turns, each of a few microseconds. */
typedef struct Team {
  _Alignas(64) _Atomic uint64_t now; /* the turn, how many items of it are done, and a bit for each that is taken */
  _Alignas(64) void (*work)(const void *, ptrdiff_t, ptrdiff_t);
  void (*after)(const void *, ptrdiff_t);
  const void *data;
  ptrdiff_t turns, items, members;
  atomic_ptrdiff_t joined;
  atomic_int holders;
} Team;

#define DONE(count) ((uint64_t)(count) << MOST_ITEMS) /* in `now`, above the bits */
#define TURN(n)     ((uint64_t)(n) << 32)

/* An item that nobody has taken: the member's own, which it had at the last turn too, or one further on. */
static ptrdiff_t free_item(const Team *team, uint64_t now, ptrdiff_t member) {
  for (ptrdiff_t n = 0, item = member * team->items / team->members; n < team->items; n++, item++) {
    if (item == team->items) item = 0;
    if (!(now >> item & 1)) return item;
  }
  return -1;
}

static void stay(Team *team) {
  const ptrdiff_t member = atomic_fetch_add(&team->joined, 1);
  uint64_t now = atomic_load(&team->now);
  for (int waited = 0; (ptrdiff_t)(now >> 32) < team->turns;) {
    const ptrdiff_t turn = (ptrdiff_t)(now >> 32), item = free_item(team, now, member);
    if (item < 0) {
      relax(&waited);
      now = atomic_load(&team->now);
      continue;
    }
    if (!atomic_compare_exchange_weak(&team->now, &now, now | (uint64_t)1 << item)) continue;
    waited = 0;
    team->work(team->data, turn, item);
    now = atomic_fetch_add(&team->now, DONE(1)) + DONE(1);
    if ((now & (TURN(1) - 1)) >> MOST_ITEMS < (uint64_t)team->items) continue;
    team->after(team->data, turn);
    atomic_store(&team->now, now = TURN(turn + 1));
  }
}

static void leave(void *data) {
  Team *team = data;
  if (atomic_fetch_sub(&team->holders, 1) == 1) free(team);
}

static void helper(void *team) {
  stay(team);
  leave(team);
}

/* Who comes late takes part from where the others are; who comes when all is over finds nothing to take, and nobody
   has waited. */
void in_turns(const Threads *threads, void (*work)(const void *, ptrdiff_t, ptrdiff_t),
              void (*after)(const void *, ptrdiff_t), const void *data, ptrdiff_t turns, ptrdiff_t items) {
  const ptrdiff_t members = items < threads->count ? items : threads->count;
  Team *team = members > 1 ? aligned_alloc(64, sizeof *team) : NULL;
  if (!team) {
    for (ptrdiff_t turn = 0; turn < turns; turn++) {
      for (ptrdiff_t item = 0; item < items; item++) work(data, turn, item);
      after(data, turn);
    }
    return;
  }
  *team = (Team){.work = work, .after = after, .data = data, .turns = turns, .items = items, .members = members};
  atomic_init(&team->holders, (int)members);
  for (ptrdiff_t n = 1; n < members; n++) hand_over(threads, helper, leave, team);
  stay(team);
  leave(team);
}
