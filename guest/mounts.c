/* Every mount of the guest. Devices are known by the serial that the runner gave them, not by their order. */
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DEVICE_DEADLINE_MILLISECONDS 10000

static void mount_at(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  make_folder(target);
  if (mount(source, target, type, flags, data) != 0)
    give_up("%s could not be mounted at %s: %s", source, target, strerror(errno));
}

void mounts_prepare(void) {
  /*
   * The initramfs is the kernel's first root, out of which nothing can pivot. A bind mount of it, moved over it, is an
   * ordinary root, so that crun can leave nothing of it in the container's mount namespace.
   */
  make_folder("/root");
  if (mount("/", "/root", NULL, MS_BIND, NULL) != 0 || chdir("/root") != 0 ||
      mount(".", "/", NULL, MS_MOVE, NULL) != 0 || chroot(".") != 0)
    give_up("the root could not be moved: %s", strerror(errno));
  mount_at("dev", "/dev", "devtmpfs", MS_NOSUID, NULL);
  mount_at("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_at("sys", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_at("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,mode=755");
  mount_at("cgroup", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  make_folder(ETC);
  make_folder(BUNDLE);
  /* Shared, so that what is mounted below it later appears in the container. */
  mount_at("devices", DEVICES, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,mode=755");
  if (mount(NULL, DEVICES, NULL, MS_SHARED, NULL) != 0) give_up("%s: %s", DEVICES, strerror(errno));
}

/* The kernel makes the file of a disk a moment before there is a disk behind it. */
static bool can_be_opened(const char *device) {
  int file = open(device, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  close(file);
  return true;
}

static void find_disk(const char *serial, char *device, size_t size) {
  for (int waited = 0; waited < DEVICE_DEADLINE_MILLISECONDS; waited++) {
    for (char letter = 'a'; letter <= 'h'; letter++) {
      char path[64], found[64];
      snprintf(path, sizeof path, "/sys/block/vd%c/serial", letter);
      read_file(path, found, sizeof found);
      snprintf(device, size, "/dev/vd%c", letter);
      if (strcmp(found, serial) == 0 && can_be_opened(device)) return;
    }
    pause_milliseconds(1);
  }
  give_up("the disk %s did not appear", serial);
}

static void mount_disk(const char *serial, const char *target, const char *type, unsigned long flags, const char *data) {
  char device[64];
  find_disk(serial, device, sizeof device);
  mount_at(device, target, type, flags, data);
}

/* Node runs here and there in a file of 120 MB: of the 128 KiB that the kernel reads around each
   place, most are never used. With 16, Node starts a tenth of a second later. */
static void read_little_ahead(const char *device) {
  char path[128];
  snprintf(path, sizeof path, "/sys/block/%s/queue/read_ahead_kb", device + strlen("/dev/"));
  write_file(path, "32", 2);
}

void mounts_read_only_disks(void) {
  char toolbox[64];
  mount_disk("image", "/run/image", "erofs", MS_RDONLY | MS_NODEV, NULL);
  find_disk("toolbox", toolbox, sizeof toolbox);
  read_little_ahead(toolbox);
  mount_at(toolbox, TOOLBOX, "erofs", MS_RDONLY | MS_NODEV | MS_NOSUID, NULL);
}

void mounts_volume(void) {
  /* The volume lives as long as the guest: nothing has to survive a crash, and its empty tables need no writing. */
  mount_disk("volume", VOLUME, "ext4", MS_NODEV | MS_NOATIME, "noinit_itable,nobarrier");
  make_folder(VOLUME "/upper");
  make_folder(VOLUME "/work");
  mount_at("root", ROOT, "overlay", MS_NODEV | MS_NOATIME,
           "lowerdir=/run/image,upperdir=" VOLUME "/upper,workdir=" VOLUME "/work");
}

/* The name of the block device at a SCSI target, once the kernel has found it. */
static bool find_scsi_disk(unsigned target, char *device, size_t size) {
  char path[128];
  snprintf(path, sizeof path, "/sys/bus/scsi/devices/0:0:%u:0/block", target);
  DIR *folder = opendir(path);
  if (folder == NULL) return false;
  bool found = false;
  for (struct dirent *entry; !found && (entry = readdir(folder)) != NULL;) {
    found = entry->d_name[0] != '.';
    if (found) snprintf(device, size, "/dev/%s", entry->d_name);
  }
  closedir(folder);
  return found && can_be_opened(device);
}

const char *mounts_find_late_disk(unsigned target, char *device, size_t size) {
  /* Only now: most containers never get a late device. */
  modules_load("/modules/late-devices");
  for (int waited = 0; !find_scsi_disk(target, device, size); waited++) {
    if (waited >= DEVICE_DEADLINE_MILLISECONDS) return "the disk did not appear";
    pause_milliseconds(1);
  }
  return NULL;
}

static const char *mount_scsi_disk(const char *name, unsigned target) {
  char device[300], folder[300];
  const char *error = mounts_find_late_disk(target, device, sizeof device);
  if (error != NULL) return error;
  snprintf(folder, sizeof folder, DEVICES "/%s", name);
  make_folder(folder);
  if (mount(device, folder, "erofs", MS_RDONLY | MS_NODEV | MS_NOSUID, NULL) != 0) return strerror(errno);
  return NULL;
}

void mounts_late_device(const char *name, unsigned target) {
  pid_t process = fork();
  if (process < 0) give_up("no process to attach a device: %s", strerror(errno));
  if (process > 0) return;
  const char *error = mount_scsi_disk(name, target);
  channel_report("{\"event\":\"attached\",\"name\":%s,\"error\":%s}", quoted(name),
                 error == NULL ? "null" : quoted(error));
  _exit(0);
}

struct volume_room mounts_volume_room(void) {
  struct statvfs status;
  struct volume_room room = {0};
  if (statvfs(VOLUME, &status) != 0) return room;
  long long block_bytes = (long long)status.f_frsize;
  room.free_bytes = (long long)status.f_bavail * block_bytes;
  room.used_bytes = (long long)(status.f_blocks - status.f_bfree) * block_bytes;
  room.total_bytes = (long long)status.f_blocks * block_bytes;
  room.free_files = (long long)status.f_favail;
  room.total_files = (long long)status.f_files;
  return room;
}
