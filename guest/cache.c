/*
 * The dependency cache of the run: a disk whose folders appear in the container, mounted by process 1, since the container
 * may not mount anything. An empty disk takes what the run installs; one of an earlier run is read, and changes to it go
 * to the volume. What the container has at a place stays visible below either.
 *
 * Neither the container's paths nor what another run wrote on a disk is trusted: no link leads out of the container's
 * root or of the disk (openat2), and nothing there is a device or has rights of its own.
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DISK "/run/cache"
/* One path of the container a line; sent before `cache`. */
#define FOLDERS BUNDLE "/cache-folders"
#define CHANGES VOLUME "/cache"
#define MOST_FOLDERS 16
#define LONGEST_LIST (MOST_FOLDERS * 1100)

struct cached_folder {
  /* As the container sees it. */
  const char *path;
  /* What the container has there. */
  int below;
  /* The mount, before and after it has a place. */
  int mount;
  int place;
};

static struct cached_folder folders[MOST_FOLDERS];
static int folder_count;
static char error_text[256];
/* Whether what went wrong is the fault of what is on the disk. */
static bool disk_is_damaged;

static const char *failed(const char *what, const char *path) {
  snprintf(error_text, sizeof error_text, "%s %s: %s", what, path, strerror(errno));
  return error_text;
}

static int open_folder(int start, const char *path, unsigned long long resolve) {
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = resolve};
  return (int)syscall(SYS_openat2, start, path, &how, sizeof how);
}

/* A folder of the container, seen from `root`: its links lead where they lead in there. */
static int open_in_container(int root, const char *path) {
  return open_folder(root, path, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

static bool read_folders(void) {
  static char list[LONGEST_LIST];
  read_file(FOLDERS, list, sizeof list);
  for (char *rest = list, *path; (path = strsep(&rest, "\n")) != NULL;) {
    if (*path == '\0') continue;
    if (folder_count == MOST_FOLDERS) return false;
    folders[folder_count++] = (struct cached_folder){.path = path};
  }
  return folder_count > 0;
}

/* Unlike `make_folder` it ends nothing: without a cache the run goes on. */
static bool made_folder(const char *path) {
  return mkdir(path, 0755) == 0 || errno == EEXIST;
}

static bool set(int context, const char *key, const char *value) {
  return fsconfig(context, FSCONFIG_SET_STRING, key, value, 0) == 0;
}

/* The folder that changes go to is what the container sees: it belongs to whom the one below it belongs. */
static bool looks_like(const char *folder, int below) {
  struct stat status;
  return fstat(below, &status) == 0 && chown(folder, status.st_uid, status.st_gid) == 0 &&
         chmod(folder, status.st_mode & 07777) == 0;
}

/* An overlay of `lower` (one path or several), with changes in `changes`; -1 where it cannot be made. */
static int overlay(int below, const char *lower, const char *changes) {
  char upper[128], work[128];
  snprintf(upper, sizeof upper, "%s/upper", changes);
  snprintf(work, sizeof work, "%s/work", changes);
  if (!made_folder(changes) || !made_folder(upper) || !made_folder(work) || !looks_like(upper, below)) return -1;
  int context = fsopen("overlay", FSOPEN_CLOEXEC);
  if (context < 0) return -1;
  /* Layers come from elsewhere: they must not name files of other layers. */
  bool ready = set(context, "source", "cache") && set(context, "lowerdir", lower) && set(context, "upperdir", upper) &&
               set(context, "workdir", work) && set(context, "redirect_dir", "nofollow") &&
               set(context, "metacopy", "off") && fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0;
  int made = ready ? fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME) : -1;
  int reason = errno;
  close(context);
  errno = reason;
  return made;
}

/* What the run installs goes to the empty disk. */
static int overlay_on_new_disk(int below, int number) {
  char lower[64], changes[64];
  snprintf(lower, sizeof lower, "/proc/self/fd/%d", below);
  snprintf(changes, sizeof changes, DISK "/%d", number);
  return overlay(below, lower, changes);
}

/* What an earlier run has installed, and changes to it on the volume. */
static int overlay_of_kept_disk(int disk, int below, int number) {
  char name[32], lower[128], changes[64];
  snprintf(name, sizeof name, "%d/upper", number);
  int kept = open_folder(disk, name, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  disk_is_damaged = kept < 0;
  if (kept < 0) return -1;
  snprintf(lower, sizeof lower, "/proc/self/fd/%d:/proc/self/fd/%d", kept, below);
  if (!made_folder(CHANGES)) return -1;
  snprintf(changes, sizeof changes, CHANGES "/%d", number);
  return overlay(below, lower, changes);
}

static const char *mount_disk(unsigned target, bool is_new) {
  char device[300];
  const char *error = mounts_find_late_disk(target, device, sizeof device);
  if (error != NULL) return error;
  if (!made_folder(DISK)) return failed("no folder", DISK);
  unsigned long flags = MS_NODEV | MS_NOSUID | MS_NOATIME | (is_new ? 0 : MS_RDONLY);
  /* Whatever a disk of another run says of itself: errors on it are errors of reading it, and end nothing. */
  const char *options = is_new ? "noinit_itable,nobarrier,errors=continue" : "noload,errors=continue";
  if (mount(device, DISK, "ext4", flags, options) == 0) return NULL;
  disk_is_damaged = !is_new;
  return failed("the disk could not be mounted at", DISK);
}

/* In the container's mounts, where its root is the root. */
static const char *enter_container(void) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", container_process_id());
  int mounts = open(path, O_RDONLY | O_CLOEXEC);
  if (mounts < 0 || setns(mounts, CLONE_NEWNS) != 0) return failed("no way to the mounts of", path);
  close(mounts);
  return NULL;
}

static const char *prepare_mounts(bool is_new) {
  int disk = open(DISK, O_PATH | O_DIRECTORY | O_CLOEXEC), root = open(ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (disk < 0 || root < 0) return failed("no folder", disk < 0 ? DISK : ROOT);
  for (int number = 0; number < folder_count; number++) {
    struct cached_folder *folder = &folders[number];
    folder->below = open_in_container(root, folder->path);
    if (folder->below < 0) return failed("the container has no folder", folder->path);
    folder->mount = is_new ? overlay_on_new_disk(folder->below, number)
                           : overlay_of_kept_disk(disk, folder->below, number);
    if (folder->mount < 0) return failed("no mount for", folder->path);
  }
  return NULL;
}

/* All or none: the places are found first, and what has its place already is taken back when another cannot have its own. */
static const char *place_mounts(void) {
  const char *error = enter_container();
  if (error != NULL) return error;
  int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (int number = 0; number < folder_count; number++) {
    folders[number].place = open_in_container(root, folders[number].path);
    if (folders[number].place < 0) return failed("the container has no folder", folders[number].path);
  }
  for (int number = 0; number < folder_count; number++) {
    const unsigned here = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    if (move_mount(folders[number].mount, "", folders[number].place, "", here) == 0) continue;
    error = failed("nothing can be mounted at", folders[number].path);
    while (number-- > 0) umount2(folders[number].path, MNT_DETACH);
    return error;
  }
  return NULL;
}

static const char *mount_cache(unsigned target, bool is_new, double deadline_seconds) {
  if (!read_folders()) return "there is no list of folders";
  const char *error = mount_disk(target, is_new);
  if (error == NULL) error = prepare_mounts(is_new);
  if (error != NULL) return error;
  /* The run may have gone on without: a folder must not change under it. */
  if (clock_monotonic_seconds() > deadline_seconds) return "it took too long";
  return place_mounts();
}

static void report(const char *event, const char *error) {
  channel_report("{\"event\":%s,\"error\":%s,\"diskIsDamaged\":%s}", quoted(event),
                 error == NULL ? "null" : quoted(error), disk_is_damaged ? "true" : "false");
}

void cache_mount(unsigned target, bool is_new, long milliseconds) {
  double deadline_seconds = clock_monotonic_seconds() + (double)milliseconds / 1000;
  pid_t process = fork();
  if (process < 0) give_up("no process to mount the cache: %s", strerror(errno));
  if (process > 0) return;
  report("cache-mounted", mount_cache(target, is_new, deadline_seconds));
  _exit(0);
}

/* Once frozen, the disk holds everything that was written, and nothing is written to it any more. */
void cache_seal(void) {
  pid_t process = fork();
  if (process < 0) give_up("no process to seal the cache: %s", strerror(errno));
  if (process > 0) return;
  int disk = open(DISK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool sealed = disk >= 0 && ioctl(disk, FIFREEZE, 0) == 0;
  report("cache-sealed", sealed ? NULL : failed("it could not be frozen:", DISK));
  _exit(0);
}
