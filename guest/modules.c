/* Loads kernel modules: a list names their files, one a line, each after what it needs. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void modules_load(const char *list) {
  char names[4096];
  read_file(list, names, sizeof names);
  for (char *rest = names, *name; (name = strsep(&rest, "\n")) != NULL;) {
    if (*name == '\0') continue;
    char path[256];
    snprintf(path, sizeof path, "/modules/%s", name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || (syscall(SYS_finit_module, file, "", 0) != 0 && errno != EEXIST))
      give_up("the kernel module %s could not be loaded: %s", name, strerror(errno));
    close(file);
  }
}
