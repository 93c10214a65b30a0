/*
 * Process 1 of every sandbox's container: starts the program that it is given, hands signals on to it, waits for
 * whatever is orphaned, and ends as the program ends. Node, which the executor runs on, does not wait for processes that
 * it did not start; they would stay as zombies and use up the sandbox's limit of processes.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t program;

/* The exit status of the program when it has ended, else -1. */
static int reap(void) {
  int status, result = -1;
  for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (ended == program) result = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return result;
}

int main(int count, char **arguments) {
  if (count < 2) return 64;
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);

  program = fork();
  if (program == 0) {
    sigprocmask(SIG_SETMASK, &before, NULL);
    execv(arguments[1], arguments + 1);
    fprintf(stderr, "reaper: %s: %s\n", arguments[1], strerror(errno));
    _exit(127);
  }
  if (program < 0) return 71;
  /* The channel ends when the program ends: nobody else may hold it. */
  close(3);

  for (;;) {
    siginfo_t signal;
    if (sigwaitinfo(&all, &signal) < 0) continue;
    if (signal.si_signo != SIGCHLD) {
      kill(program, signal.si_signo);
      continue;
    }
    int status = reap();
    if (status >= 0) return status;
  }
}
