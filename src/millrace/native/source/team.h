/* Threads of this library's own, which look out for more to do for a while before they sleep: waking one takes up to
   0.2 ms where a virtual processor has gone to sleep, longer than many a routine does. */
#ifndef TEAM_H
#define TEAM_H

#include "ffi.h"

/* Makes sure that there are so many, if the system grants them; returns how many of them there are. */
int64_t gather(int64_t wanted);

int64_t nanoseconds(void);

/* Hands a task to the team; where too much waits already, the caller does it. */
void give(void (*run)(void *data), void *data);

/* XLA's interface, but for its threads: a routine that is called with it works with `count` of the team. */
Api with_team(const Api *api);
typedef struct Members {
  int64_t count; /* the caller is one of them */
} Members;       /* such a frame's context */

#endif
