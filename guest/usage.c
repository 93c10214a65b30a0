/* What the container uses, when asked; and each second a look at what is about to run out. */
#include "init.h"

#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Below a fiftieth of its space or files the volume counts as almost full; looked at again this much later. */
#define ALMOST_FULL_SHARE 50
#define SECONDS_BETWEEN_LOOKS 10

static int timer = -1;

void usage_start(void) {
  timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  struct itimerspec each_second = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};
  timerfd_settime(timer, 0, &each_second, NULL);
}

int usage_descriptor(void) {
  return timer;
}

/* Files that can be dropped at any time are no use of memory; files of a tmpfs are. */
static long long memory_bytes(void) {
  char text[4096];
  read_file(CONTAINER_GROUP "/memory.stat", text, sizeof text);
  long long bytes = number_in_file(CONTAINER_GROUP "/memory.current") - number_after(text, "\ninactive_file ") -
                    number_after(text, "\nactive_file ");
  /* The kernel may drop files between the two looks. */
  return bytes > 0 ? bytes : 0;
}

void usage_report(void) {
  char statistics[512];
  if (!container_has_started() || !channel_has_room()) return;
  read_file(CONTAINER_GROUP "/cpu.stat", statistics, sizeof statistics);
  channel_report("{\"event\":\"usage\",\"uptimeMilliseconds\":%.0f,\"cpuMicroseconds\":%ld,\"memoryBytes\":%lld,"
                 "\"volumeBytes\":%lld,\"receivedBytes\":%lld,\"sentBytes\":%lld}",
                 clock_monotonic_seconds() * 1000, number_after(statistics, "usage_usec "), memory_bytes(),
                 mounts_volume_room().used_bytes, number_in_file("/sys/class/net/eth0/statistics/rx_bytes"),
                 number_in_file("/sys/class/net/eth0/statistics/tx_bytes"));
}

/* A program may remove what it could not write to the end, so this is looked at while it writes. */
static void look_at_volume(struct volume_room room) {
  static double next_look_seconds;
  bool few_files = room.total_files > 0 && room.free_files < room.total_files / ALMOST_FULL_SHARE;
  bool almost_full = few_files || room.free_bytes < room.total_bytes / ALMOST_FULL_SHARE;
  if (!almost_full || clock_monotonic_seconds() < next_look_seconds) return;
  next_look_seconds = clock_monotonic_seconds() + SECONDS_BETWEEN_LOOKS;
  folders_report(few_files);
}

void usage_watch(void) {
  unsigned long long seconds;
  if (read(timer, &seconds, sizeof seconds) != sizeof seconds || !container_has_started()) return;
  thrashing_look((int)seconds);
  if (channel_has_room()) look_at_volume(mounts_volume_room());
}
