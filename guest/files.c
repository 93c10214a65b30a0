#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void write_file(const char *path, const char *bytes, size_t length) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0 || write(file, bytes, length) != (ssize_t)length)
    give_up("%s could not be written: %s", path, strerror(errno));
  close(file);
}

void read_file(const char *path, char *text, size_t size) {
  size_t length = 0;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    for (ssize_t got; length < size - 1 && (got = read(file, text + length, size - 1 - length)) > 0;)
      length += (size_t)got;
    close(file);
  }
  text[length] = '\0';
}

long number_after(const char *text, const char *name) {
  const char *found = strstr(text, name);
  return found == NULL ? 0 : strtol(found + strlen(name), NULL, 10);
}

long long number_in_file(const char *path) {
  char text[32];
  read_file(path, text, sizeof text);
  return strtoll(text, NULL, 10);
}

void make_folder(const char *path) {
  if (mkdir(path, 0755) != 0 && errno != EEXIST) give_up("%s could not be made: %s", path, strerror(errno));
}

void pause_milliseconds(long milliseconds) {
  nanosleep(&(struct timespec){.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000}, NULL);
}
