/*
 * Who the guest is, for as long as it runs: the runner makes host name and machine id anew for each. The container has
 * the same, as it shares the guest's host name and the files in ETC.
 */
#include "init.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define MACHINE_ID_DIGITS 32

void identity_take(void) {
  char hostname[256], machine_id[64];
  read_file(ETC "/hostname", hostname, sizeof hostname);
  size_t length = strcspn(hostname, "\n");
  if (length == 0) give_up("the guest was given no host name");
  if (sethostname(hostname, length) != 0) give_up("the host name: %s", strerror(errno));
  read_file(ETC "/machine-id", machine_id, sizeof machine_id);
  if (strspn(machine_id, "0123456789abcdef") != MACHINE_ID_DIGITS) give_up("the guest was given no machine id");
}
