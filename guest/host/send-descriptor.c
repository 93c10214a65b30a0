/*
 * send-descriptor MESSAGE: sends MESSAGE over the socket at descriptor 3, and descriptor 4 with it (SCM_RIGHTS).
 *
 * QEMU runs as a user that can open none of the runner's files, so a device that is attached late has to be handed to
 * it as an open file, which Node.js cannot do.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int count, char **arguments) {
  if (count != 2) return 2;
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr header;
  } control = {0};
  struct iovec text = {.iov_base = arguments[1], .iov_len = strlen(arguments[1])};
  struct msghdr message = {
      .msg_iov = &text, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.header), &(int){4}, sizeof(int));
  if (sendmsg(3, &message, MSG_NOSIGNAL) == (ssize_t)text.iov_len) return 0;
  perror("send-descriptor");
  return 1;
}
