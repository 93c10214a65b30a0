/*
 * tsc-rate: prints how many thousand times a second the processor's time stamp counter ticks.
 *
 * An emulated guest reads the host's counter and is told its rate: left to measure it by itself, it sometimes hangs at
 * boot. The rate that /proc/cpuinfo shows is the processor's present speed, which is another thing.
 */
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define MEASURED_NANOSECONDS 100000000L

static long long nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

int main(void) {
  long long start = nanoseconds();
  unsigned long long first_tick = __rdtsc();
  nanosleep(&(struct timespec){.tv_nsec = MEASURED_NANOSECONDS}, NULL);
  unsigned long long ticks = __rdtsc() - first_tick;
  long long elapsed = nanoseconds() - start;
  printf("%.0f\n", (double)ticks * 1e6 / (double)elapsed);
}
