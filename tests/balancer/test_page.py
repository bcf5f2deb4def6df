"""
The status page's HTTP, and what is in its answers.
"""

import json
import re
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.trial.unittest import SynchronousTestCase

from echochat.balancer.backends import Backend, Mode
from echochat.balancer.page.document import POLICY, SCRIPT, STYLE
from echochat.balancer.page.graph import draw
from echochat.balancer.page.site import FRESH, LIFETIME, MOST_READERS, StatusSite
from tests.balancer.operated import OperatedBalancer


class Reader:
    """
    Somebody who reads.

    :ivar lost: whether the connection is over.
    """

    def __init__(self, site: StatusSite) -> None:
        channel = site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 4711))
        self.refused = channel is None
        self.lost = False
        if channel is not None:
            self.transport: Any = _Transport(self)
            self.transport.protocol = channel
            channel.makeConnection(self.transport)
            self._channel = channel

    def send(self, data: bytes) -> bytes:
        """
        :return: all that was answered.
        """
        if not self.lost:
            self._channel.dataReceived(data)
        answer: bytes = self.transport.value()
        return answer


class _Transport(StringTransportWithDisconnection):
    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader

    def loseConnection(self) -> None:
        if not self._reader.lost:
            self._reader.lost = True
            super().loseConnection()

    abortConnection = loseConnection


class SiteTestCase(SynchronousTestCase):
    """
    Tests of the page of a balancer with two backends.
    """

    def setUp(self) -> None:
        self.balancer = OperatedBalancer("a", "b")
        self.clock = self.balancer.clock
        self.site = StatusSite(self.clock, self.balancer.status)
        self.addCleanup(self.finish)

    def finish(self) -> None:
        """
        At the end nothing is left.
        """
        self.site.end()
        self.assertEqual((self.site.readers, self.clock.getDelayedCalls()), (set(), []))

    def ask(self, path: str, method: str = "GET", more: bytes = b"") -> tuple[int, dict[str, str], str]:
        """
        :return: status, headers and body.
        """
        reader = Reader(self.site)
        answer = reader.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode() + (more or b"\r\n"))
        self.assertTrue(reader.lost)
        head, _, body = answer.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        self.assertEqual(headers.get("Content-Length", "0") == str(len(body.encode())), method != "HEAD", headers)
        return int(first.split()[1]), headers, body


class AnswerTests(SiteTestCase):
    """
    What there is to read.
    """

    def test_paths(self) -> None:
        """
        Each path has its kind of answer; all have the headers that keep it to itself.
        """
        for path, code, kind in (
            ("/", 200, "text/html; charset=utf-8"),
            ("/status.json", 200, "application/json"),
            ("/status.json?x=1", 200, "application/json"),
            ("/healthz", 200, "text/plain; charset=utf-8"),
            ("/metrics", 200, "text/plain; version="),
            ("/nothing", 404, "text/plain; charset=utf-8"),
            ("/status.json/more", 404, "text/plain; charset=utf-8"),
            ("//", 404, "text/plain; charset=utf-8"),
            ("/../etc/passwd", 404, "text/plain; charset=utf-8"),
        ):
            got, headers, body = self.ask(path)
            self.assertEqual(got, code, path)
            self.assertTrue(headers["Content-Type"].startswith(kind), headers)
            self.assertEqual((headers["Cache-Control"], headers["X-Content-Type-Options"]), ("no-store", "nosniff"))
            self.assertEqual((headers["Content-Security-Policy"], headers["Server"]), (POLICY, "echochat-lb"))
            self.assertTrue(body)

    def test_head(self) -> None:
        """
        HEAD has the headers of GET, and no body.
        """
        for path in ("/", "/status.json", "/healthz"):
            _, expected, _ = self.ask(path)
            code, headers, body = self.ask(path, "HEAD")
            self.assertEqual((code, body), (200, ""))
            self.assertEqual(headers["Content-Length"], expected["Content-Length"])

    def test_other_methods(self) -> None:
        """
        Nothing can be done here: whatever else is asked is refused, with what may be.
        """
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "get", "DRAIN"):
            code, headers, _ = self.ask("/", method)
            self.assertEqual((code, headers["Allow"]), (405, "GET, HEAD"), method)

    def test_fresh(self) -> None:
        """
        Many readers at once get one answer, which is no older than half a second.
        """
        before = self.ask("/status.json")
        self.balancer.connect()
        self.assertEqual(self.ask("/status.json"), before)
        self.clock.advance(FRESH)
        self.assertEqual(json.loads(self.ask("/status.json")[2])["balancer"]["active"], 1)

    def test_json(self) -> None:
        """
        The figures are those of the control socket, and the connections over time.
        """
        self.balancer.trends.begin()
        for _ in range(5):
            self.balancer.connect()
            self.clock.advance(2)
        self.balancer.trends.end()
        answer = json.loads(self.ask("/status.json")[2])
        a, b = answer["backends"]
        self.assertEqual((a["name"], a["trend"], b["trend"]), ("a", [0, 1, 1, 2, 2, 3], [0, 0, 1, 1, 2, 2]))
        del a["trend"]
        self.assertEqual(a, self.balancer.status.backends()[0])
        self.assertEqual(answer["balancer"], self.balancer.status.balancer())


class LimitTests(SiteTestCase):
    """
    What a reader cannot do.
    """

    def test_one_request(self) -> None:
        """
        A connection is for one request: what comes behind it is not read.
        """
        reader = Reader(self.site)
        answer = reader.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(reader.lost)
        self.assertEqual(answer.count(b"HTTP/1.1 200"), 1)
        self.assertIn(b"\r\nConnection: close\r\n", answer)

    def test_slow(self) -> None:
        """
        However steadily the bytes of a request come, its time is limited.
        """
        reader = Reader(self.site)
        reader.send(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(int(LIFETIME) - 1):
            self.clock.advance(1)
            reader.send(b"x")
            self.assertFalse(reader.lost)
        self.clock.advance(1)
        self.assertTrue(reader.lost)

    def test_silent(self) -> None:
        """
        So is that of whoever says nothing.
        """
        reader = Reader(self.site)
        self.clock.advance(LIFETIME)
        self.assertTrue(reader.lost)

    def test_large_head(self) -> None:
        """
        A head that is too large is refused.
        """
        for large in (
            b"GET / HTTP/1.1\r\nX: " + b"x" * 9_000 + b"\r\nY: " + b"y" * 9_000,
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4_000,
        ):
            reader = Reader(self.site)
            answer = reader.send(large + b"\r\n\r\n")
            self.assertTrue(reader.lost)
            self.assertEqual((answer.count(b"HTTP/1.1 400 "), answer.count(b"HTTP/1.1 ")), (1, 1))
        reader = Reader(self.site)
        self.assertEqual((reader.send(b"GET /" + b"x" * 20_000), reader.lost), (b"", True))

    def test_body(self) -> None:
        """
        A body costs nothing: it is thrown away as it comes, counted or in chunks.
        """
        for head, chunk, end in (
            (b"Content-Length: 10000000\r\n\r\n", b"x" * 100_000, b""),
            (b"Transfer-Encoding: chunked\r\n\r\n", b"186a0\r\n" + b"x" * 100_000 + b"\r\n", b"0\r\n\r\n"),
        ):
            reader = Reader(self.site)
            reader.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + head)
            [channel] = self.site.readers
            for _ in range(100):
                reader.send(chunk)
                self.assertEqual(channel.requests[0].content.tell() if channel.requests else 0, 0)
            self.assertIn(b" 200 ", reader.send(end))
            self.assertTrue(reader.lost)

    def test_many(self) -> None:
        """
        Only so many may be connected at once; when they have gone, others may.
        """
        readers = [Reader(self.site) for _ in range(MOST_READERS)]
        self.assertTrue(Reader(self.site).refused)
        readers[0].send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertFalse(Reader(self.site).refused)

    def test_end(self) -> None:
        """
        At the end whoever is connected is disconnected.
        """
        readers = [Reader(self.site) for _ in range(3)]
        self.site.end()
        self.assertEqual([each.lost for each in readers], [True] * 3)


class DocumentTests(SiteTestCase):
    """
    The page.
    """

    def test_backends(self) -> None:
        """
        It has a row for each backend, with what the control socket says of it.
        """
        self.balancer.fleet.add(Backend("c.c", "unix:/run/c", weight=7, most=9, backup=True))
        for _ in range(3):
            self.balancer.connect()
        self.balancer.fleet.backend("b").why, self.balancer.fleet.backend("b").checked = "no answer", 0.0
        self.clock.advance(61)
        _, _, page = self.ask("/")
        rows = [re.sub(r"<[^>]*>", " ", row).split() for row in re.findall("<tr>(<td.*)</tr>", page)]
        self.assertEqual([row[0] for row in rows], ["a", "b", "c.c"])
        self.assertEqual(rows[2][:8], ["c.c", "(backup)", "unix:/run/c", "up", "0", "/", "9", "7"])
        self.assertEqual(rows[0][1:5], ["tcp:a:7007", "up", "2", "1"])
        self.assertEqual(rows[1][-7:], ["no", "answer", "1", "min", "1", "s", "ago"])

    def test_nobody(self) -> None:
        """
        Without backends it says so.
        """
        for backend in [*self.balancer.fleet]:
            self.balancer.fleet.remove(backend)
        self.assertIn("There is no backend.", self.ask("/")[2])

    def test_all_taken_out(self) -> None:
        """
        When no client gets a backend, it says so, and why.
        """
        self.assertNotIn("refused", self.ask("/")[2])
        for backend in self.balancer.fleet.pool:
            self.balancer.fleet.set_mode(backend, Mode.DRAIN)
        self.clock.advance(FRESH)
        self.assertIn("Clients are refused: an operator has drained or taken out every backend.", self.ask("/")[2])

    def test_escaped(self) -> None:
        """
        Text is text, wherever it comes from.
        """
        self.balancer.fleet.add(Backend("x", 'unix:/"><img src=x>', check="<b>"))
        self.balancer.fleet.backend("x").why = "<script>alert(1)</script>&amp;"
        _, _, page = self.ask("/")
        self.assertNotIn("<img", page)
        self.assertNotIn("<script>alert", page)
        self.assertIn("&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;", page)
        self.assertIn("unix:/&quot;&gt;&lt;img src=x&gt;", page)

    def test_nothing_from_elsewhere(self) -> None:
        """
        The page needs nothing but itself, and its policy allows nothing else.
        """
        _, headers, page = self.ask("/")
        self.assertEqual(re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s)>]+)""", page), ["data:,"])
        self.assertNotIn("style=", page)
        self.assertNotRegex(page, r"\son\w+=")
        self.assertTrue(headers["Content-Security-Policy"].startswith("default-src 'none'; "))
        self.assertNotIn("unsafe", POLICY)
        self.assertIn(f"<style>{STYLE}</style>", page)
        self.assertIn(f"<script>{SCRIPT}</script>", page)

    def test_graph(self) -> None:
        """
        The latest look is at the right edge, the most connections of all backends at the upper one.
        """
        picture = draw([0, 0, 5, 0, 10], 20)
        self.assertIn('points="146,39.0 148,29.5 150,20.0"', picture)
        self.assertIn("10 at most", picture)
        self.assertIn('points=""', draw([3], 3))
        self.assertIn('points=""', draw([], 0))
        self.assertIn('points="140,39.0 150,1.0"', draw([0] * 5 + [1] * 10, 1, 1_000))
        long = draw([1] * 150, 1)
        self.assertEqual((long.count("1.0"), 'points="2,1.0 ' in long), (150, True))


class MetricsTests(SiteTestCase):
    """
    ``/metrics``.
    """

    def values(self) -> dict[tuple[str, str], float]:
        """
        The samples, by name and backend.
        """
        families = [*text_string_to_metric_families(self.ask("/metrics")[2])]
        names = [(sample.name, sample.labels.get("backend", "")) for family in families for sample in family.samples]
        of_ours = [name for name in names if name[0].startswith("echochat_lb")]
        self.assertEqual(len(of_ours), len(set(of_ours)))
        return {
            (sample.name, sample.labels.get("backend", "")): sample.value
            for family in families
            for sample in family.samples
        }

    def test_figures(self) -> None:
        """
        They are those of the control socket; and the process's own are there, too.
        """
        self.balancer.waiting = 4
        connections = [self.balancer.connect() for _ in range(3)]
        connections[0].bytes_in, connections[0].bytes_out = 10, 20
        connections[2].end()
        self.balancer.fleet.backend("b").traffic.failures = 2
        self.balancer.fleet.backend("b").traffic.refused = 5
        self.balancer.fleet.pool.set_down(self.balancer.fleet.backend("b"))
        self.clock.advance(3)
        values = self.values()
        prefix = "echochat_lb_backend_"
        for name, a, b in (
            ("serving", 1, 0),
            ("active_connections", 1, 1),
            ("connections_total", 2, 1),
            ("received_bytes_total", 10, 0),
            ("sent_bytes_total", 20, 0),
            ("failures_total", 0, 2),
            ("failed_checks_total", 0, 5),
            ("weight", 1, 1),
            ("max_connections", 0, 0),
        ):
            self.assertEqual((values[prefix + name, "a"], values[prefix + name, "b"]), (a, b), name)
        self.assertEqual((values["echochat_lb_waiting", ""], values["echochat_lb_uptime_seconds", ""]), (4, 3))
        self.assertIn(("process_open_fds", ""), values)

    def test_one_name_twice(self) -> None:
        """
        A backend that is leaving, and another that has its name now, are one series.
        """
        self.balancer.connect().bytes_in = 5
        self.balancer.fleet.remove(self.balancer.fleet.backend("a"))
        self.balancer.fleet.add(Backend("a", "tcp:other:1", weight=9))
        self.balancer.connect()
        self.balancer.connect()
        values = self.values()
        self.assertEqual(values["echochat_lb_backend_connections_total", "a"], 3)
        self.assertEqual(values["echochat_lb_backend_active_connections", "a"], 3)
        self.assertEqual(values["echochat_lb_backend_received_bytes_total", "a"], 5)
        self.assertEqual(values["echochat_lb_backend_weight", "a"], 9)
