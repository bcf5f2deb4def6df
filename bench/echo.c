/* echo: what stands behind the balancers when they are measured (one thread, epoll).
 *
 * echo PORT   on 127.0.0.1: whatever arrives goes back as it is, chunk by chunk
 *
 * What a peer does not take is kept, and nothing is read from it meanwhile.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 1 << 18, EVENTS = 512 };

typedef struct { int fd; char *rest; size_t from, upto; } conn;

static int ep;
static char chunk[CHUNK];

static void die(const char *what) { perror(what); exit(2); }

static void watch(conn *c, int how, uint32_t events) {
  struct epoll_event e = {.events = events, .data.ptr = c};
  if (epoll_ctl(ep, how, c->fd, &e)) die("epoll_ctl");
}

static void end(conn *c) { close(c->fd); free(c->rest); free(c); }

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
  if (argc != 2) { fprintf(stderr, "usage: echo PORT\n"); return 2; }
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
  conn listening = {.fd = port};
  watch(&listening, EPOLL_CTL_ADD, EPOLLIN);
  for (struct epoll_event ready[EVENTS];;) {
    int n = epoll_wait(ep, ready, EVENTS, -1);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < n; i++) {
      conn *c = ready[i].data.ptr;
      if (c == &listening) {
        for (int fd; (fd = accept4(port, 0, 0, SOCK_NONBLOCK)) >= 0;) {
          setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
          if (!(c = calloc(1, sizeof *c))) die("calloc");
          c->fd = fd;
          watch(c, EPOLL_CTL_ADD, EPOLLIN);
        }
      } else if (ready[i].events & EPOLLOUT) {
        writable(c);
      } else {
        readable(c);
      }
    }
  }
}
