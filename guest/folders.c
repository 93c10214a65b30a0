/*
 * The largest folders of the volume: what it was filled with. Looked for in a process of its own and for a few seconds
 * at most, as the container may have made millions of files.
 */
#include "init.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEADLINE_SECONDS 3
/* Folders further down count for those above them. */
#define TOLD_DEPTH 3
/* Each level holds a descriptor. What lies deeper is not counted. */
#define DEEPEST 200
#define MOST_FOLDERS 4096
#define MOST_TOLD 20
#define LONGEST_PATH 160
/* Of all of them together, as JSON: an event has a longest length. */
#define LONGEST_LIST 7000

struct folder {
  char path[LONGEST_PATH];
  long long bytes, files;
};

static struct folder folders[MOST_FOLDERS];
static size_t folder_count;
static double deadline_seconds;
static bool by_files;

static struct folder *add_folder(const struct folder *parent, const char *name) {
  if (folder_count == MOST_FOLDERS) return NULL;
  struct folder *folder = &folders[folder_count];
  const char *above = parent == NULL ? "" : parent->path;
  if (snprintf(folder->path, LONGEST_PATH, "%s/%s", above, name) >= LONGEST_PATH) return NULL;
  folder_count++;
  return folder;
}

/* `above`: the folders that everything below `parent` counts for, from the top of the volume on. */
static void walk(int parent, const char *name, int depth, struct folder *above[TOLD_DEPTH]) {
  int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *directory = descriptor < 0 ? NULL : fdopendir(descriptor);
  if (directory == NULL) {
    if (descriptor >= 0) close(descriptor);
    return;
  }
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (clock_monotonic_seconds() > deadline_seconds) break;
    struct stat status;
    if (fstatat(descriptor, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    bool is_folder = S_ISDIR(status.st_mode);
    if (depth < TOLD_DEPTH) {
      struct folder *holder = depth == 0 ? NULL : above[depth - 1];
      above[depth] = is_folder && (depth == 0 || holder != NULL) ? add_folder(holder, entry->d_name) : NULL;
    }
    for (int level = 0; level < TOLD_DEPTH; level++) {
      if (above[level] == NULL) continue;
      above[level]->bytes += (long long)status.st_blocks * 512;
      above[level]->files++;
    }
    if (is_folder && depth < DEEPEST) walk(descriptor, entry->d_name, depth + 1, above);
    for (int level = depth; level < TOLD_DEPTH; level++) above[level] = NULL;
  }
  closedir(directory);
}

static int larger_first(const void *left, const void *right) {
  const struct folder *a = left, *b = right;
  long long difference = by_files ? b->files - a->files : b->bytes - a->bytes;
  return difference < 0 ? -1 : difference > 0;
}

static void report(void) {
  char list[LONGEST_LIST + 1];
  size_t length = 0;
  qsort(folders, folder_count, sizeof *folders, larger_first);
  for (size_t index = 0; index < folder_count && index < MOST_TOLD; index++) {
    const struct folder *folder = &folders[index];
    int added = snprintf(list + length, sizeof list - length, "%s{\"path\":%s,\"bytes\":%lld,\"files\":%lld}",
                         index == 0 ? "" : ",", quoted(folder->path), folder->bytes, folder->files);
    if (length + (size_t)added >= sizeof list) break;
    length += (size_t)added;
  }
  list[length] = '\0';
  channel_report("{\"event\":\"folders\",\"complete\":%s,\"folders\":[%s]}",
                 clock_monotonic_seconds() > deadline_seconds ? "false" : "true", list);
}

void folders_report(bool count_files) {
  pid_t process = fork();
  if (process != 0) return;
  by_files = count_files;
  deadline_seconds = clock_monotonic_seconds() + DEADLINE_SECONDS;
  struct folder *above[TOLD_DEPTH] = {NULL};
  walk(AT_FDCWD, VOLUME "/upper", 0, above);
  report();
  _exit(0);
}
