/*
 * confine USER GROUPS [SOURCE TARGET]… -- PROGRAM [ARGUMENT…]: runs PROGRAM where there is nothing else.
 *
 * The program gets a mount namespace of its own, whose root has each SOURCE (a file or folder of the host) at TARGET,
 * read-only, and nothing beside them. It becomes USER, with the groups `none`, `keep` or one id (USER `-`: stays who we
 * are). It has no capability and no way to get one, and dies with its parent. We are root, or a user namespace's root.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { most_files = 256 };

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

int main(int count, char **arguments) {
  pid_t parent = getppid();
  int separator = 3;
  while (separator < count && strcmp(arguments[separator], "--") != 0) separator++;
  int files = (separator - 3) / 2;
  if (separator + 1 >= count || files > most_files) return 2;
  make_root(arguments + 3, files);
  give_up_rights(arguments[1], arguments[2]);
  /* After the change of user, which takes it back; and the parent may be gone already. */
  need(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), "the death of the parent");
  if (getppid() != parent) return 3;
  execv(arguments[separator + 1], arguments + separator + 1);
  need(-1, arguments[separator + 1]);
}
