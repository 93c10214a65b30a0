/* The init channel: messages from the runner, events to it. All lengths are bounded; what does not fit ends the guest. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONGEST_LINE 256
#define LONGEST_BODY (1024 * 1024)
#define LONGEST_EVENT 8192
#define LONGEST_TEXT 1500
#define WRITE_DEADLINE_MILLISECONDS 2000

static int channel = -1;
static char incoming[LONGEST_LINE + LONGEST_BODY];
static size_t incoming_length;

void channel_open(void) {
  channel = port_open("init", O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

int channel_descriptor(void) {
  return channel;
}

/* Takes the first message off `incoming`; false while it is not complete. */
static bool take_message(message_handler handle) {
  char *end = memchr(incoming, '\n', incoming_length);
  if (end == NULL) {
    if (incoming_length >= LONGEST_LINE) give_up("a line on the init channel is too long");
    return false;
  }
  size_t line_length = (size_t)(end - incoming) + 1;
  char words[LONGEST_LINE];
  if (line_length > sizeof words) give_up("a line on the init channel is too long");
  memcpy(words, incoming, line_length - 1);
  words[line_length - 1] = '\0';

  size_t body_length = 0;
  if (strncmp(words, "file ", 5) == 0) {
    char *last_word = strrchr(words, ' ');
    body_length = strtoul(last_word + 1, NULL, 10);
    if (body_length > LONGEST_BODY) give_up("a file on the init channel is too long");
    if (incoming_length < line_length + body_length) return false;
    *last_word = '\0';
  }
  handle(words, incoming + line_length, body_length);
  incoming_length -= line_length + body_length;
  memmove(incoming, incoming + line_length + body_length, incoming_length);
  return true;
}

bool channel_read(message_handler handle) {
  ssize_t length = read(channel, incoming + incoming_length, sizeof incoming - incoming_length);
  if (length < 0) return errno == EAGAIN || errno == EINTR;
  if (length == 0) return false;
  incoming_length += (size_t)length;
  while (take_message(handle)) continue;
  return true;
}

void channel_report(const char *format, ...) {
  char line[LONGEST_EVENT];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (channel < 0 || length < 0 || (size_t)length >= sizeof line - 1) return;
  line[length++] = '\n';
  for (int sent = 0; sent < length;) {
    ssize_t written = write(channel, line + sent, (size_t)(length - sent));
    if (written > 0) {
      sent += (int)written;
      continue;
    }
    struct pollfd writable = {.fd = channel, .events = POLLOUT};
    if (errno != EAGAIN || poll(&writable, 1, WRITE_DEADLINE_MILLISECONDS) <= 0) return;
    /* Nobody at the other end: there will never be room. */
    if ((writable.revents & POLLOUT) == 0) return;
  }
}

bool channel_has_room(void) {
  struct pollfd writable = {.fd = channel, .events = POLLOUT};
  return poll(&writable, 1, 0) > 0 && (writable.revents & POLLOUT) != 0;
}

const char *quoted(const char *text) {
  static char answers[4][LONGEST_TEXT];
  static unsigned next;
  char *answer = answers[next++ % 4];
  size_t length = 0;
  answer[length++] = '"';
  for (; *text != '\0' && length < LONGEST_TEXT - 8; text++) {
    unsigned char letter = (unsigned char)*text;
    if (letter == '"' || letter == '\\') answer[length++] = '\\';
    /* Bytes beyond ASCII may be cut characters: a line must stay valid UTF-8. */
    if (letter < ' ' || letter > '~') length += (size_t)sprintf(answer + length, "\\u%04x", letter);
    else answer[length++] = (char)letter;
  }
  answer[length++] = '"';
  answer[length] = '\0';
  return answer;
}
