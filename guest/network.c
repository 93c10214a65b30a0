/* The network card's fixed addresses: QEMU's user-mode network serves 10.0.2.0/24, with itself as the router. */
#include "init.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESS "10.0.2.15"
#define NETMASK "255.255.255.0"
#define ROUTER "10.0.2.2"

static struct sockaddr internet_address(const char *text) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  inet_pton(AF_INET, text, &address.sin_addr);
  struct sockaddr answer;
  memcpy(&answer, &address, sizeof answer);
  return answer;
}

static void set_up(int socket, const char *name) {
  struct ifreq request = {.ifr_flags = IFF_UP | IFF_RUNNING};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(socket, SIOCSIFFLAGS, &request) != 0) give_up("the interface %s: %s", name, strerror(errno));
}

void network_up(void) {
  int internet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  set_up(internet, "lo");

  struct ifreq request = {.ifr_name = "eth0"};
  request.ifr_addr = internet_address(ADDRESS);
  if (ioctl(internet, SIOCSIFADDR, &request) != 0) give_up("the address of eth0: %s", strerror(errno));
  request.ifr_netmask = internet_address(NETMASK);
  if (ioctl(internet, SIOCSIFNETMASK, &request) != 0) give_up("the netmask of eth0: %s", strerror(errno));
  set_up(internet, "eth0");

  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
  route.rt_dst = internet_address("0.0.0.0");
  route.rt_genmask = internet_address("0.0.0.0");
  route.rt_gateway = internet_address(ROUTER);
  if (ioctl(internet, SIOCADDRT, &route) != 0) give_up("the route through " ROUTER ": %s", strerror(errno));
  close(internet);
}
