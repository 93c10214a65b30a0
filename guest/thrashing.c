/*
 * A container that has no memory left for the programs that it executes. The kernel drops their pages and reads them again,
 * hundreds of times a second, and for as long as that succeeds it kills nobody: nothing moves on, for hours. After a while
 * it is told to kill.
 */
#include "init.h"

#include <stdio.h>
#include <string.h>

#define PATIENCE_SECONDS 10
/* With more than this of files in memory, whatever is read anew is data and not what executes. */
#define FEW_FILES_BYTES (4LL << 20)
/* In a second a page of a file is dropped and read again at least so often … */
#define TURNS 4
/* … and, where none happens to be in memory at the moment, this much at least. */
#define LEAST_READ_BYTES (256LL << 10)

static long last_read_pages;
static int thrashing_seconds;

void thrashing_look(int elapsed_seconds) {
  char text[4096];
  read_file(CONTAINER_GROUP "/memory.stat", text, sizeof text);
  long long file_bytes = (long long)number_after(text, "\nactive_file ") + number_after(text, "\ninactive_file ");
  long read_pages = number_after(text, "\nworkingset_refault_file ");
  long long read_bytes = (read_pages - last_read_pages) * 4096LL / elapsed_seconds;
  last_read_pages = read_pages;
  bool thrashes = file_bytes < FEW_FILES_BYTES && read_bytes > TURNS * file_bytes && read_bytes > LEAST_READ_BYTES;
  thrashing_seconds = thrashes ? thrashing_seconds + elapsed_seconds : 0;
  if (thrashing_seconds < PATIENCE_SECONDS) return;
  thrashing_seconds = 0;
  /* The kernel kills the process that it finds fit, counts it and writes it down, as when there is nothing to drop. */
  write_file("/proc/sysrq-trigger", "f", 1);
}
