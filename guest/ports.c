/* Finds a virtio-serial port by the name that the runner gave it. Ports appear a moment after their driver. */
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define PORTS "/sys/class/virtio-ports"
#define DEADLINE_MILLISECONDS 10000

static bool find(const char *name, char *device, size_t size) {
  DIR *ports = opendir(PORTS);
  if (ports == NULL) return false;
  bool found = false;
  for (struct dirent *port; !found && (port = readdir(ports)) != NULL;) {
    char path[512], port_name[64];
    snprintf(path, sizeof path, PORTS "/%s/name", port->d_name);
    read_file(path, port_name, sizeof port_name);
    port_name[strcspn(port_name, "\n")] = '\0';
    found = strcmp(port_name, name) == 0;
    if (found) snprintf(device, size, "/dev/%s", port->d_name);
  }
  closedir(ports);
  return found;
}

int port_open(const char *name, int flags) {
  char device[300];
  for (int waited = 0; waited < DEADLINE_MILLISECONDS; waited++) {
    if (find(name, device, sizeof device)) {
      int port = open(device, flags);
      if (port >= 0) return port;
    }
    pause_milliseconds(1);
  }
  give_up("the virtio-serial port %s did not appear", name);
}
