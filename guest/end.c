/* The end of a guest. Below everything else, as anything may be what cannot go on. */
#include "init.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

static void (*tell)(const char *message);

void power_off(void) {
  reboot(RB_POWER_OFF);
  for (;;) pause();
}

void before_giving_up(void (*function)(const char *message)) {
  tell = function;
}

void give_up(const char *format, ...) {
  char message[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  /* The console too: the channel may be what is missing. */
  fprintf(stderr, "init: %s\n", message);
  if (tell != NULL) tell(message);
  power_off();
}
