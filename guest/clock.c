/* The guest's clock follows the runner's: STS signatures and JWTs depend on it. How fast its timer runs it finds out itself. */
#include "init.h"

#include <stdlib.h>
#include <time.h>

/* Less is the jitter of the message itself; setting the clock for it would only make time jump. */
#define TOLERATED_SECONDS 0.05

static double seconds_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double clock_monotonic_seconds(void) {
  return seconds_of(CLOCK_BOOTTIME);
}

/* What the kernel multiplies nanoseconds with, by 2^32, to set the timer of a processor. */
long long clock_timer_hertz(void) {
  /* Two kilobytes for each processor come before it. */
  static char timers[512 * 1024];
  read_file("/proc/timer_list", timers, sizeof timers);
  return (number_after(timers, "mult:") * 1000000000LL) >> 32;
}

void clock_set(const char *seconds) {
  double wanted = strtod(seconds, NULL);
  double error = wanted - seconds_of(CLOCK_REALTIME);
  if (wanted <= 0 || (error < TOLERATED_SECONDS && error > -TOLERATED_SECONDS)) return;
  struct timespec time = {.tv_sec = (time_t)wanted};
  time.tv_nsec = (long)((wanted - (double)time.tv_sec) * 1e9);
  clock_settime(CLOCK_REALTIME, &time);
  channel_report("{\"event\":\"clock\",\"stepSeconds\":%.3f}", error);
}
