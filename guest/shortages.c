/* What the container has run out of, as the kernel tells: memory, processes, room on the volume. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* crun's own group below ours: it holds the limit of processes. */
#define PROCESS_GROUP CONTAINER_GROUP "/container"

static int memory_events = -1;
static long told_kills;

/* The last process that the kernel killed for want of memory. */
struct killed_process {
  char name[64];
  long kibibytes;
  /* The container was at its limit; else the whole machine was out of memory. */
  bool of_container;
};

void shortages_watch(void) {
  memory_events = open(CONTAINER_GROUP "/memory.events", O_RDONLY | O_CLOEXEC);
}

int shortages_descriptor(void) {
  return memory_events;
}

/* `[Memory cgroup out of memory|Out of memory]: Killed process 73 (node) total-vm:…kB, anon-rss:…kB, …` */
static bool read_killed_process(char *line, struct killed_process *killed) {
  char *found = strstr(line, "Killed process ");
  char *name = found == NULL ? NULL : strchr(found, '(');
  char *end = name == NULL ? NULL : strstr(name, ") total-vm:");
  if (end == NULL) return false;
  *end = '\0';
  snprintf(killed->name, sizeof killed->name, "%s", name + 1);
  killed->kibibytes = number_after(end + 1, "anon-rss:");
  killed->of_container = strstr(line, "Memory cgroup out of memory") != NULL;
  return true;
}

static struct killed_process last_killed_process(void) {
  struct killed_process killed = {.name = "", .of_container = true};
  int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (log < 0) return killed;
  char line[2048];
  bool was_asked_for = false;
  for (ssize_t length; (length = read(log, line, sizeof line - 1)) > 0 || errno == EPIPE;) {
    if (length <= 0) continue;
    line[length] = '\0';
    /* As it is when the container thrashes (thrashing.c). */
    if (strstr(line, "sysrq: Manual OOM execution") != NULL) was_asked_for = true;
    if (!read_killed_process(line, &killed)) continue;
    killed.of_container |= was_asked_for;
    was_asked_for = false;
  }
  close(log);
  return killed;
}

static long memory_kills(void) {
  char text[512];
  if (memory_events < 0) return 0;
  ssize_t length = pread(memory_events, text, sizeof text - 1, 0);
  text[length > 0 ? length : 0] = '\0';
  return number_after(text, "oom_kill ");
}

void shortages_report(void) {
  char events[64];
  read_file(PROCESS_GROUP "/pids.events", events, sizeof events);
  struct volume_room room = mounts_volume_room();
  struct killed_process killed = {.name = ""};
  told_kills = memory_kills();
  if (told_kills > 0) killed = last_killed_process();
  channel_report("{\"event\":\"shortages\",\"memoryKills\":%ld,\"killedProcess\":%s,\"killedKibibytes\":%ld,"
                 "\"outOf\":\"%s\",\"memoryPeakBytes\":%lld,\"memoryLimitBytes\":%lld,\"processRefusals\":%ld,"
                 "\"freeBytes\":%lld,\"freeFiles\":%lld,\"totalFiles\":%lld}",
                 told_kills, quoted(killed.name), killed.kibibytes, killed.of_container ? "container" : "guest",
                 number_in_file(CONTAINER_GROUP "/memory.peak"), number_in_file(CONTAINER_GROUP "/memory.max"),
                 number_after(events, "max "), room.free_bytes, room.free_files, room.total_files);
}

void shortages_read(void) {
  if (memory_kills() != told_kills) shortages_report();
}
