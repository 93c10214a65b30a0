/* The one container: started with crun, watched, and its end told with the reason. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESS_FILE "/run/container.pid"
/* Kept free for the kernel and init, so that a container that takes too much dies alone. */
#ifndef RESERVED_KIBIBYTES
#define RESERVED_KIBIBYTES (24 * 1024)
#endif
#define KEPT_OUTPUT 1024

static pid_t crun_process, container_process;
static int channel = -1, output = -1;
static char end_of_channel[128];
/* The last bytes that the container and crun wrote to standard output and error. */
static char kept_output[KEPT_OUTPUT + 1];
static size_t kept_length;

/* crun makes the container's own cgroup below; the limit of memory is set here, where the memory left is known. */
static void set_limits(void) {
  char text[4096], limit[32];
  static const char controllers[] = "+memory +pids +cpu";
  write_file("/sys/fs/cgroup/cgroup.subtree_control", controllers, sizeof controllers - 1);
  make_folder(CONTAINER_GROUP);
  write_file(CONTAINER_GROUP "/cgroup.subtree_control", controllers, sizeof controllers - 1);
  read_file("/proc/meminfo", text, sizeof text);
  long free_kibibytes = number_after(text, "MemAvailable:") - RESERVED_KIBIBYTES;
  int length = snprintf(limit, sizeof limit, "%ldK", free_kibibytes > 4096 ? free_kibibytes : 4096);
  write_file(CONTAINER_GROUP "/memory.max", limit, (size_t)length);
  /* As most hosts have it in effect: memory counts when it is used, and the limit above is what holds. */
  write_file("/proc/sys/vm/overcommit_memory", "1", 1);
  /* As in the container isolation: with a user namespace of its own, a process would be root of more than its files. */
  write_file("/proc/sys/user/max_user_namespaces", "0", 1);
}

void container_prepare(void) {
  set_limits();
  shortages_watch();
}

void container_start(const char *end_mark) {
  /* Not before: what waits for it outside would be lost with a machine that boots again. */
  channel = port_open("executor", O_RDWR | O_CLOEXEC);
  snprintf(end_of_channel, sizeof end_of_channel, "%s", end_mark);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) give_up("no pipe: %s", strerror(errno));
  fcntl(ends[1], F_SETFL, 0);
  output = ends[0];
  crun_process = fork();
  if (crun_process < 0) give_up("no process for crun: %s", strerror(errno));
  if (crun_process == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(nothing, 0);
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    /* The channel is descriptor 3 of the container's process: the only one beyond the standard ones. */
    if (channel == 3) fcntl(channel, F_SETFD, 0);
    else dup2(channel, 3);
    execl("/bin/crun", "crun", "--cgroup-manager=cgroupfs", "run", "--detach", "--preserve-fds=1",
          "--pid-file=" PROCESS_FILE, "--bundle=" BUNDLE, "container", NULL);
    dprintf(2, "crun could not be executed: %s\n", strerror(errno));
    _exit(127);
  }
  close(ends[1]);
}

int container_output_descriptor(void) {
  return output;
}

void container_output_read(void) {
  char bytes[4096];
  ssize_t length = read(output, bytes, sizeof bytes);
  if (length < 0 && errno == EAGAIN) return;
  if (length <= 0) {
    close(output);
    output = -1;
    return;
  }
  size_t kept = (size_t)length < KEPT_OUTPUT ? (size_t)length : KEPT_OUTPUT;
  size_t before = kept_length + kept > KEPT_OUTPUT ? KEPT_OUTPUT - kept : kept_length;
  memmove(kept_output, kept_output + kept_length - before, before);
  memcpy(kept_output + before, bytes + length - kept, kept);
  kept_length = before + kept;
  kept_output[kept_length] = '\0';
}

pid_t container_process_id(void) {
  return container_process;
}

void container_signal(int number) {
  if (container_process > 0) kill(container_process, number);
}

bool container_has_started(void) {
  return container_process > 0;
}

/* crun has ended: the container runs, as a child of process 1, or could not be started. */
static void crun_ended(int status) {
  char text[32];
  crun_process = 0;
  read_file(PROCESS_FILE, text, sizeof text);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && *text != '\0') {
    container_process = (pid_t)strtol(text, NULL, 10);
    channel_report("{\"event\":\"started\"}");
    return;
  }
  if (output >= 0) container_output_read();
  give_up("the container could not be started: %s", kept_output);
}

/*
 * Nobody of the container has the channel open any more: everything that it wrote comes before this mark. A host that
 * reads slowly must not hold up process 1.
 */
static void mark_end_of_channel(void) {
  if (fork() != 0) return;
  for (size_t sent = 0, length = strlen(end_of_channel); sent < length;) {
    ssize_t written = write(channel, end_of_channel + sent, length - sent);
    if (written < 0 && errno != EINTR) break;
    if (written > 0) sent += (size_t)written;
  }
  _exit(0);
}

static void container_ended(int status) {
  container_process = 0;
  shortages_report();
  if (output >= 0) container_output_read();
  channel_report("{\"event\":\"exit\",\"code\":%d,\"signal\":%d,\"output\":%s}",
                 WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                 quoted(kept_output));
  mark_end_of_channel();
}

pid_t container_awaited(void) {
  return crun_process > 0 ? crun_process : -1;
}

void container_child_ended(pid_t process, int status) {
  if (process == crun_process) crun_ended(status);
  else if (process == container_process) container_ended(status);
}
