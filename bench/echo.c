/* echo: what stands behind the balancers when they are measured (one thread, epoll).
 *
 * echo PORT [SOCKET]   on 127.0.0.1: whatever arrives goes back as it is, chunk by chunk; and on connections that
 *                      echochat-lb hands over on SOCKET (echochat/net/handoff/frames.py says what is said there)
 *
 * What a peer does not take is kept, and nothing is read from it meanwhile.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CHUNK = 1 << 18, EVENTS = 512, TOLD = 8000, TOGETHER = 64, VERSION = 1 };

typedef struct { int fd; char *rest; size_t from, upto; uint64_t number; } conn;

static int ep;
static char chunk[CHUNK];

static void die(const char *what) { perror(what); exit(2); }

static void watch(conn *c, int how, uint32_t events) {
  struct epoll_event e = {.events = events, .data.ptr = c};
  if (epoll_ctl(ep, how, c->fd, &e)) die("epoll_ctl");
}

static int channel = -1;
static char told[TOLD];
static size_t telling;

static void tell(void) {
  while (telling && channel >= 0 && send(channel, told, telling, MSG_NOSIGNAL) < 0) {
    if (errno != EAGAIN) break;
    struct pollfd room = {.fd = channel, .events = POLLOUT};
    poll(&room, 1, -1);
  }
  telling = 0;
}

/* a frame: its kind, a number, and what else there is */
static void say(char kind, uint64_t number, const char *rest, size_t size) {
  if (telling + 9 + size > TOLD) tell();
  told[telling++] = kind;
  number = htobe64(number);
  memcpy(told + telling, &number, 8);
  memcpy(told + telling + 8, rest, size);
  telling += 8 + size;
}

static void end(conn *c) {
  static const char unknown[17] = {[0 ... 15] = -1};
  if (c->number) {
    say('E', c->number, unknown, sizeof unknown);
    /* while the balancer has a descriptor too, closing ours does not end the watch */
    epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, 0);
  }
  close(c->fd);
  free(c->rest);
  free(c);
}

static void begin(int fd, uint64_t number) {
  conn *c = calloc(1, sizeof *c);
  if (!c) die("calloc");
  c->fd = fd;
  c->number = number;
  watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void hear(void) {
  for (;;) {
    char heard[9 * TOGETHER], space[CMSG_SPACE(TOGETHER * sizeof(int))];
    struct iovec io = {heard, sizeof heard};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    ssize_t n = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) { close(channel); channel = -1; return; }
    uint64_t number;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&m);
    if (*heard == 's' && rights) {
      int fds[TOGETHER];
      memcpy(fds, CMSG_DATA(rights), rights->cmsg_len - CMSG_LEN(0));
      for (int i = 0; i < n / 9; i++) {
        memcpy(&number, heard + 9 * i + 1, 8);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
        say('T', be64toh(number), "", 0);
        begin(fds[i], be64toh(number));
      }
    } else if (*heard == 'h') {
      char welcome[19] = {'W', VERSION};
      if (send(channel, welcome, sizeof welcome, MSG_NOSIGNAL) < 0) die("the channel");
      /* none of this balancer's, and none of others' */
      say('C', 0, (char[8]){0}, 8);
    } else if (*heard == 'p') {
      memcpy(&number, heard + 1, 8);
      say('P', be64toh(number), "", 0);
    }
  }
}

/* 1: all sent; 0: the rest waits; -1: the connection is gone */
static int sent(conn *c, const char *data, size_t size, size_t *taken) {
  for (*taken = 0; *taken < size;) {
    ssize_t n = send(c->fd, data + *taken, size - *taken, MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN ? 0 : -1;
    *taken += n;
  }
  return 1;
}

static void readable(conn *c) {
  ssize_t n = recv(c->fd, chunk, CHUNK, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) { end(c); return; }
  size_t taken;
  int done = sent(c, chunk, n, &taken);
  if (done < 0) { end(c); return; }
  if (done) return;
  if (!c->rest && !(c->rest = malloc(CHUNK))) die("malloc");
  memcpy(c->rest, chunk + taken, n - taken);
  c->from = 0;
  c->upto = n - taken;
  watch(c, EPOLL_CTL_MOD, EPOLLOUT);
}

static void writable(conn *c) {
  size_t taken;
  int done = sent(c, c->rest + c->from, c->upto - c->from, &taken);
  if (done < 0) { end(c); return; }
  c->from += taken;
  if (done) watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) { fprintf(stderr, "usage: echo PORT [SOCKET]\n"); return 2; }
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  int one = 1, port = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(port, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(port, (struct sockaddr *)&at, sizeof at)) die("bind");
  if (listen(port, 4096)) die("listen");
  ep = epoll_create1(0);
  conn listening = {.fd = port}, door = {.fd = -1}, balancer = {.fd = -1};
  watch(&listening, EPOLL_CTL_ADD, EPOLLIN);
  if (argc == 3) {
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    strncpy(path.sun_path, argv[2], sizeof path.sun_path - 1);
    door.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
    if (bind(door.fd, (struct sockaddr *)&path, sizeof path)) die("bind");
    if (listen(door.fd, 8)) die("listen");
    watch(&door, EPOLL_CTL_ADD, EPOLLIN);
  }
  for (struct epoll_event ready[EVENTS];;) {
    int n = epoll_wait(ep, ready, EVENTS, -1);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
      conn *c = ready[i].data.ptr;
      if (c == &listening) {
        for (int fd; (fd = accept4(port, 0, 0, SOCK_NONBLOCK)) >= 0;) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          begin(fd, 0);
        }
      } else if (c == &door) {
        int fd = accept4(door.fd, 0, 0, SOCK_NONBLOCK);
        if (fd < 0 || channel >= 0) { close(fd); continue; }
        balancer.fd = channel = fd;
        watch(&balancer, EPOLL_CTL_ADD, EPOLLIN);
      } else if (c == &balancer) {
        hear();
        tell();
      } else if (ready[i].events & EPOLLOUT) {
        writable(c);
      } else {
        readable(c);
      }
    }
    tell();
  }
}
