/*
 * sparse-file pack: writes what is in the file at descriptor 0 to descriptor 1, without its holes.
 * sparse-file unpack LIMIT: makes the file at descriptor 1 out of that, with at most LIMIT bytes beside holes.
 *
 * The file is the disk of a virtual machine, mostly holes, and of which nothing but its bytes is known here. Sent as
 * `size`, then `offset length` and so many bytes for each piece of data, then `size 0`; numbers of 8 bytes, as they are
 * in memory.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 20)

static char buffer[BUFFER_BYTES];

static void fail(const char *what) {
  fprintf(stderr, "sparse-file: %s: %s\n", what, errno == 0 ? "what comes is no packed file" : strerror(errno));
  exit(1);
}

static void send_bytes(const void *bytes, size_t length) {
  for (size_t sent = 0; sent < length;) {
    ssize_t written = write(1, (const char *)bytes + sent, length - sent);
    if (written < 0) fail("writing");
    sent += (size_t)written;
  }
}

static void receive_bytes(void *bytes, size_t length) {
  for (size_t received = 0; received < length;) {
    ssize_t got = read(0, (char *)bytes + received, length - received);
    if (got == 0) errno = 0;
    if (got <= 0) fail("reading");
    received += (size_t)got;
  }
}

static void send_piece(uint64_t offset, uint64_t length) {
  send_bytes(&offset, sizeof offset);
  send_bytes(&length, sizeof length);
  while (length > 0) {
    ssize_t got = pread(0, buffer, length < BUFFER_BYTES ? length : BUFFER_BYTES, (off_t)offset);
    if (got <= 0) fail("reading");
    send_bytes(buffer, (size_t)got);
    offset += (uint64_t)got;
    length -= (uint64_t)got;
  }
}

static void pack(void) {
  struct stat status;
  if (fstat(0, &status) != 0) fail("the file");
  uint64_t size = (uint64_t)status.st_size;
  send_bytes(&size, sizeof size);
  for (off_t data = 0, hole = 0; (data = lseek(0, hole, SEEK_DATA)) >= 0;) {
    hole = lseek(0, data, SEEK_HOLE);
    if (hole < 0) fail("a hole");
    send_piece((uint64_t)data, (uint64_t)(hole - data));
  }
  /* ENXIO: there is no more data. */
  if (errno != ENXIO) fail("data");
  send_piece(size, 0);
}

static void receive_piece(uint64_t offset, uint64_t length) {
  while (length > 0) {
    size_t part = length < BUFFER_BYTES ? length : BUFFER_BYTES;
    receive_bytes(buffer, part);
    for (size_t done = 0; done < part;) {
      ssize_t written = pwrite(1, buffer + done, part - done, (off_t)(offset + done));
      if (written < 0) fail("writing");
      done += (size_t)written;
    }
    offset += part;
    length -= part;
  }
}

static void unpack(uint64_t limit) {
  uint64_t size, offset, length, end = 0;
  receive_bytes(&size, sizeof size);
  if (size > INT64_MAX || ftruncate(1, (off_t)size) != 0) fail("the size");
  for (;;) {
    receive_bytes(&offset, sizeof offset);
    receive_bytes(&length, sizeof length);
    if (length == 0 && offset == size) return;
    errno = 0;
    if (length == 0 || offset < end || offset > size || length > size - offset) fail("a piece");
    if (length > limit) fail("more data than allowed");
    limit -= length;
    end = offset + length;
    receive_piece(offset, length);
  }
}

int main(int count, char **arguments) {
  if (count == 2 && strcmp(arguments[1], "pack") == 0) pack();
  else if (count == 3 && strcmp(arguments[1], "unpack") == 0) unpack(strtoull(arguments[2], NULL, 10));
  else return 2;
  return 0;
}
