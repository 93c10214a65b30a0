/*
 * confine USER GROUPS [SOURCE TARGET]… -- PROGRAM [ARGUMENT…]: runs PROGRAM where there is nothing else.
 *
 * The program gets a mount namespace of its own, whose root has each SOURCE (a file or folder of the host) at TARGET,
 * read-only, and nothing beside them, and a PID namespace, in which there is no other process. It becomes USER, with the
 * groups `none`, `keep` or one id (USER `-`: stays who we are). It has no capability and no way to get one. We are root, or
 * a user namespace's root.
 *
 * This process stays as the program's parent, without rights either: it ends as the program does, and both die with whoever
 * started us. At SIGTERM the program is killed and waited for, so that our end proves its.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { most_files = 256 };

/* Closed at its other end when our parent in the host's PID namespace is gone. */
static int parent_alive;

/* Any folder that is there on every host; what lies under it is not needed any more by then. */
static const char *const new_root = "/tmp";

static void need(int result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "confine: %s: %s\n", what, strerror(errno));
  exit(126);
}

/* A copy of the mount of one file or folder that is attached nowhere yet. */
static int take(const char *path) {
  int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  need(tree, path);
  return tree;
}

/* Makes the place for it below the new root, and attaches it there. */
static void put(int tree, const char *target) {
  char path[4096];
  int length = snprintf(path, sizeof path, "%s%s", new_root, target);
  if (length >= (int)sizeof path) errno = ENAMETOOLONG, need(-1, target);
  for (char *slash = path + strlen(new_root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
    *slash = '\0';
    if (mkdir(path, 0755) < 0 && errno != EEXIST) need(-1, path);
    *slash = '/';
  }
  struct stat found;
  need(fstatat(tree, "", &found, AT_EMPTY_PATH), target);
  if (S_ISDIR(found.st_mode)) {
    if (mkdir(path, 0755) < 0 && errno != EEXIST) need(-1, path);
  } else {
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
    need(file, path);
    close(file);
  }
  need(move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH), path);
  close(tree);
}

static void make_root(char **files, int count) {
  need(unshare(CLONE_NEWNS | CLONE_NEWIPC), "a mount namespace");
  need(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
  int trees[most_files];
  for (int i = 0; i < count; i++) trees[i] = take(files[2 * i]);
  need(mount("root", new_root, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=755"), "an empty root");
  for (int i = 0; i < count; i++) put(trees[i], files[2 * i + 1]);
  need(chdir(new_root), new_root);
  need(syscall(SYS_pivot_root, ".", "."), "another root");
  need(umount2(".", MNT_DETACH), "the old root");
  need(chdir("/"), "/");
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
  need(mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &attributes, sizeof attributes), "a read-only root");
}

static void give_up_rights(const char *user, const char *groups) {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++)
    need(prctl(PR_CAPBSET_DROP, capability), "the bounding set");
  need(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "ambient capabilities");
  if (strcmp(user, "-") != 0) {
    gid_t group = strtoul(groups, NULL, 10);
    if (strcmp(groups, "keep") != 0) need(setgroups(strcmp(groups, "none") == 0 ? 0 : 1, &group), "groups");
    uid_t id = strtoul(user, NULL, 10);
    need(setresgid(id, id, id), "a group");
    need(setresuid(id, id, id), "a user");
  }
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct none[2] = {0};
  need(syscall(SYS_capset, &header, none), "no capabilities");
  need(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new rights");
}

/* After every change of user, which takes it back. */
static void die_with_parent(void) {
  need(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "the death of the parent");
}

static void end_as(int status) {
  if (WIFEXITED(status)) _exit(WEXITSTATUS(status));
  struct rlimit nothing = {0};
  setrlimit(RLIMIT_CORE, &nothing);
  int number = WTERMSIG(status);
  sigset_t all;
  sigfillset(&all);
  signal(number, SIG_DFL);
  kill(getpid(), number);
  sigprocmask(SIG_UNBLOCK, &all, NULL);
  _exit(1);
}

/* `alive` is all that stays open: what is the program's has to end with it. */
static void keep(pid_t program, int alive, const sigset_t *signals) {
  need(dup2(alive, STDIN_FILENO), "a pipe");
  need(close_range(STDIN_FILENO + 1, ~0U, 0), "open files");
  for (;;) {
    if (sigwaitinfo(signals, NULL) == SIGTERM) kill(program, SIGKILL);
    int status;
    if (waitpid(program, &status, WNOHANG) == program) end_as(status);
  }
}

/* Answers in the process that is to become the program, the first one of a PID namespace. */
static void part(char **identity) {
  pid_t parent = getppid();
  sigset_t signals, before;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGCHLD);
  sigprocmask(SIG_BLOCK, &signals, &before);
  int alive[2];
  need(pipe2(alive, O_CLOEXEC), "a pipe");
  need(unshare(CLONE_NEWPID), "a PID namespace");
  pid_t program = fork();
  need(program, "a process");
  if (program > 0) {
    give_up_rights(identity[0], identity[1]);
    die_with_parent();
    if (getppid() != parent) _exit(3);
    keep(program, alive[1], &signals);
  }
  close(alive[1]);
  sigprocmask(SIG_SETMASK, &before, NULL);
  parent_alive = alive[0];
}

int main(int count, char **arguments) {
  int separator = 3;
  while (separator < count && strcmp(arguments[separator], "--") != 0) separator++;
  int files = (separator - 3) / 2;
  if (separator + 1 >= count || files > most_files) return 2;
  part(arguments + 1);
  make_root(arguments + 3, files);
  give_up_rights(arguments[1], arguments[2]);
  die_with_parent();
  /* It may be gone already. In this PID namespace it has no id by which that could be told. */
  struct pollfd parent = {.fd = parent_alive};
  if (poll(&parent, 1, 0) != 0) return 3;
  execv(arguments[separator + 1], arguments + separator + 1);
  need(-1, arguments[separator + 1]);
}
