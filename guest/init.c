/* The order of the boot, and the loop that everything after it comes out of. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static void report_failure(const char *message) {
  channel_report("{\"event\":\"failed\",\"message\":%s}", quoted(message));
}

/* Names come from the runner; they still may only be names. */
static bool is_name(const char *name) {
  size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
  return length > 0 && length < 100 && name[length] == '\0' && name[0] != '.';
}

/* `name` is in one of two folders: etc/hostname, bundle/config.json. */
static void receive_file(char *name, const char *bytes, size_t length) {
  char path[160];
  const char *folder = name == NULL ? "" : strsep(&name, "/");
  const char *target = strcmp(folder, "etc") == 0 ? ETC : strcmp(folder, "bundle") == 0 ? BUNDLE : NULL;
  if (target == NULL || name == NULL || !is_name(name)) give_up("a file has no usable name");
  snprintf(path, sizeof path, "%s/%s", target, name);
  write_file(path, bytes, length);
}

static void attach(const char *name, const char *target) {
  if (name == NULL || target == NULL || !is_name(name)) give_up("a device has no usable name");
  mounts_late_device(name, (unsigned)strtoul(target, NULL, 10));
}

/* What the messages do. */
static void handle_message(char *words, const char *body, size_t body_length) {
  char *verb = strsep(&words, " "), *first = strsep(&words, " "), *second = strsep(&words, " ");
  char *third = strsep(&words, " ");
  if (strcmp(verb, "time") == 0 && first != NULL) clock_set(first);
  else if (strcmp(verb, "file") == 0) receive_file(first, body, body_length);
  else if (strcmp(verb, "start") == 0 && first != NULL) {
    identity_take();
    mounts_volume();
    container_start(first);
    usage_start();
  } else if (strcmp(verb, "signal") == 0 && first != NULL) container_signal(atoi(first));
  else if (strcmp(verb, "attach") == 0) attach(first, second);
  else if (strcmp(verb, "shortages") == 0) shortages_report();
  else if (strcmp(verb, "usage") == 0) usage_report();
  else if (strcmp(verb, "folders") == 0 && first != NULL) folders_report(strcmp(first, "files") == 0);
  else if (strcmp(verb, "cache") == 0 && third != NULL)
    cache_mount((unsigned)strtoul(second, NULL, 10), strcmp(first, "new") == 0, strtol(third, NULL, 10));
  else if (strcmp(verb, "seal-cache") == 0) cache_seal();
  else give_up("a message is not known: %s", verb);
}

static void reap(int signals) {
  struct signalfd_siginfo ignored;
  while (read(signals, &ignored, sizeof ignored) > 0) continue;
  int status;
  for (pid_t process; (process = waitpid(container_awaited(), &status, WNOHANG)) > 0;) {
    /* While it still counts as started, and so that all of it is in the figures. */
    if (process == container_process_id()) usage_report();
    container_child_ended(process, status);
  }
}

/* Nothing is reported: nobody reads it, and the machine would wait for room on the channel. */
static void leave_silence(double silence_seconds) {
  fprintf(stderr, "init: the runner has been silent for %.0f s\n", silence_seconds);
  power_off();
}

static void serve(int signals, double silence_seconds) {
  double heard_seconds = clock_monotonic_seconds();
  for (;;) {
    double left_seconds = heard_seconds + silence_seconds - clock_monotonic_seconds();
    struct pollfd events[] = {
        {.fd = channel_descriptor(), .events = POLLIN},
        {.fd = signals, .events = POLLIN},
        {.fd = container_output_descriptor(), .events = POLLIN},
        {.fd = shortages_descriptor(), .events = POLLPRI},
        {.fd = usage_descriptor(), .events = POLLIN},
    };
    int wait_milliseconds = left_seconds > 0 ? (int)(left_seconds * 1000) + 1 : 0;
    if (poll(events, 5, wait_milliseconds) < 0 && errno != EINTR) give_up("poll: %s", strerror(errno));
    bool heard = events[0].revents != 0 && channel_read(handle_message);
    if (heard) heard_seconds = clock_monotonic_seconds();
    /* What waits to be read was said in time, however late this guest comes to it. */
    else if (left_seconds <= 0) leave_silence(silence_seconds);
    /* Nobody at the other end: the same as silence, but it must not keep a processor busy. */
    else if (events[0].revents != 0) pause_milliseconds(100);
    if (events[2].revents != 0) container_output_read();
    if (events[3].revents != 0) shortages_read();
    if (events[4].revents != 0) usage_watch();
    if (events[1].revents != 0) reap(signals);
  }
}

int main(void) {
  mounts_prepare();
  /* The kernel hands words of its command line that it does not know to process 1 as environment. */
  if (getenv("SLIPWAY_PROBE") != NULL) {
    fputs("init: probe\n", stderr);
    power_off();
  }
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child, NULL);
  int signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);

  modules_load("/modules/boot");
  channel_open();
  before_giving_up(report_failure);
  struct utsname kernel;
  uname(&kernel);
  char boot_id[64];
  read_file("/proc/sys/kernel/random/boot_id", boot_id, sizeof boot_id);
  boot_id[strcspn(boot_id, "\n")] = '\0';
  channel_report("{\"event\":\"boot\",\"kernelRelease\":%s,\"bootId\":%s,\"timerHertz\":%lld}",
                 quoted(kernel.release), quoted(boot_id), clock_timer_hertz());
  mounts_read_only_disks();
  read_ahead();
  network_up();
  container_prepare();

  const char *silence_seconds = getenv("SLIPWAY_SILENCE_SECONDS");
  if (silence_seconds == NULL) give_up("SLIPWAY_SILENCE_SECONDS is not given");
  serve(signals, atof(silence_seconds));
}
