"""
The server keeps sections 3 and 4 of the protocol: conversations, word for word, over connections in memory.
"""

import re
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echochat.history import from_string
from echochat.history.memory import MemoryBounds, MemoryHistory
from echochat.wire.answers import Err, Ok, Past
from tests.processes import DEADLINE
from tests.server.room import Client, Room
from tests.server.scripted import ScriptedHistory
from tests.wire.examples import reproducible

reactor: Any = _reactor

T = "1970-01-01T00:00:00.000Z"
EPOCH = "thisepoch1"

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass(frozen=True)
class Step:
    """
    Something that happens in a conversation.

    :ivar who: speaks; or listens, where nothing is said.
    :ivar says: lines, each with its end but the last, which needs none.
    :ivar hears: all that this one is told since they were last listened to; an ``/err`` with its code only.
    """

    who: str
    says: str
    hears: tuple[str, ...]


def step(who: str, says: str, *hears: str) -> Step:
    return Step(who, says, hears)


def published(count: int, topic: str = "lobby") -> tuple[Step, ...]:
    """
    Bob has published ``1``, ``2`` and so on, at these positions.
    """
    return tuple(step("bob", f"/pub {topic} {n}", f"/ok pub {topic} {n}") for n in range(1, count + 1))


def events(*numbers: int, topic: str = "lobby") -> tuple[str, ...]:
    """
    What is told of them.
    """
    return tuple(f"/event {topic} {n} {T} bob {n}" for n in numbers)


CONVERSATIONS: dict[str, tuple[Step, ...]] = {
    "publish and subscribe": (
        step("alice", "/sub lobby", f"/ok sub lobby 0 {EPOCH}"),
        step("bob", "/pub lobby hi there", "/ok pub lobby 1"),
        step("alice", "", f"/event lobby 1 {T} bob hi there"),
        step("alice", "/pub lobby hello", f"/event lobby 2 {T} alice hello", "/ok pub lobby 2"),
        step("alice", "/unsub lobby", "/ok unsub lobby"),
        step("bob", "/pub lobby anybody?", "/ok pub lobby 3"),
        step("alice", ""),
    ),
    "an alias is answered under the command's own name": (
        step("alice", "/join#1 lobby", f"/ok#1 sub lobby 0 {EPOCH}"),
        step("alice", "/say#2 lobby hi", f"/event lobby 1 {T} alice hi", "/ok#2 pub lobby 1"),
        step("alice", "/part#3 lobby", "/ok#3 unsub lobby"),
    ),
    "every line of a reply has the label": (
        step("alice", "/sub#a lobby", f"/ok#a sub lobby 0 {EPOCH}"),
        step("bob", "/pub#b lobby hi", "/ok#b pub lobby 1"),
        step("alice", "", f"/event lobby 1 {T} bob hi"),
        step("bob", "/msg#c bob hi", "/ok#c msg bob 2"),
        step("bob", "/history#d lobby", f"/past#d lobby 1 {T} bob hi", "/ok#d history lobby 1"),
        step("bob", "/who#e lobby", "/here#e lobby alice", "/ok#e who lobby 1"),
        step("bob", "/topics#f", "/topic#f @bob 2 0", "/topic#f lobby 1 1", "/ok#f topics 2"),
        step("bob", "/unsub#g lobby", "/err#g no-such-topic"),
    ),
    "a text arrives byte for byte": (
        step("alice", "/sub lobby", f"/ok sub lobby 0 {EPOCH}"),
        step("bob", "/pub lobby   two  spaces \t%s {x} straße 😀 ", "/ok pub lobby 1"),
        step("alice", "", f"/event lobby 1 {T} bob   two  spaces \t%s {{x}} straße 😀 "),
        step("bob", "/pub lobby ", "/ok pub lobby 2"),
        step("alice", "", f"/event lobby 2 {T} bob "),
        step("bob", "/pub lobby CLOSE SOCKET", "/ok pub lobby 3"),
        step("alice", "", f"/event lobby 3 {T} bob CLOSE SOCKET"),
        step("bob", "/pub lobby /event lobby 9", "/ok pub lobby 4"),
        step("alice", "", f"/event lobby 4 {T} bob /event lobby 9"),
    ),
    "control characters are refused": (
        step("alice", "/sub lobby", f"/ok sub lobby 0 {EPOCH}"),
        *[step("bob", f"/pub#x lobby a{each}b", "/err#x bad-text") for each in "\0\x07\x1b\r\x7f\x85\u2028\u2029"],
        step("alice", ""),
    ),
    "topics are kept apart, and a topic's letter case matters": (
        step("alice", "/sub lobby", f"/ok sub lobby 0 {EPOCH}"),
        step("bob", "/pub Lobby x", "/ok pub Lobby 1"),
        step("bob", "/pub lobb y", "/ok pub lobb 2"),
        step("alice", ""),
    ),
    "an inbox is one in any letter case, and its owner's": (
        step("alice", "/sub @Alice", f"/ok sub @alice 0 {EPOCH}"),
        step("bob", "/msg ALICE psst", "/ok msg ALICE 1"),
        step("alice", "", f"/event @alice 1 {T} bob psst"),
        step("bob", "/pub @aLICE again", "/ok pub @alice 2"),
        step("alice", "", f"/event @alice 2 {T} bob again"),
        step("bob", "/sub @alice", "/err denied"),
        step("bob", "/history @Alice", "/err denied"),
        step("bob", "/who @ALICE", "/err denied"),
        step("bob", "/topics", "/ok topics 0"),
        step("alice", "/topics", "/topic @alice 2 1", "/ok topics 1"),
        step("alice", "/history @alice last=1", f"/past @alice 2 {T} bob again", "/ok history @alice 1"),
        step("alice", "/who @ALICE", "/here @alice alice", "/ok who @alice 1"),
    ),
    "an inbox is left before its name": (
        step("alice", "/sub @alice", f"/ok sub @alice 0 {EPOCH}"),
        step("alice", "/nick carla", "/err denied"),
        step("alice", "/nick ALICE", "/ok nick ALICE"),
        step("alice", "/unsub @alice", "/ok unsub @alice"),
        step("alice", "/nick carla", "/ok nick carla"),
        step("bob", "/msg alice psst", "/ok msg alice 1"),
        step("alice", ""),
        step("alice", "/unsub @alice", "/err no-such-topic"),
        step("bob", "/nick alice", "/ok nick alice"),
        step("bob", "/sub @alice last=1", f"/ok sub @alice 1 {EPOCH}", f"/event @alice 1 {T} bob psst"),
    ),
    "presence is told to those who asked for it": (
        step("alice", "/sub lobby presence=on", f"/ok sub lobby 0 {EPOCH}"),
        step("carol", "/sub lobby", f"/ok sub lobby 0 {EPOCH}"),
        step("alice", "", "/join lobby carol"),
        step("bob", "/sub lobby presence=on", f"/ok sub lobby 0 {EPOCH}"),
        step("alice", "", "/join lobby bob"),
        step("bob", "/sub lobby presence=on", f"/ok sub lobby 0 {EPOCH}"),
        step("alice", ""),
        step("bob", "/nick rob", "/part lobby bob", "/join lobby rob", "/ok nick rob"),
        step("alice", "", "/part lobby bob", "/join lobby rob"),
        step("bob", "/unsub lobby", "/ok unsub lobby"),
        step("alice", "", "/part lobby rob"),
        step("carol", "/quit", "/ok quit"),
        step("alice", "", "/part lobby carol"),
    ),
    "who is there: each name once": (
        step("alice", "/who lobby", "/ok who lobby 0"),
        step("alice", "/sub lobby", f"/ok sub lobby 0 {EPOCH}"),
        step("bob", "/sub lobby", f"/ok sub lobby 0 {EPOCH}"),
        step("bob", "/sub lobby last=0", f"/ok sub lobby 0 {EPOCH}"),
        step("alice", "/who lobby", "/here lobby alice", "/here lobby bob", "/ok who lobby 2"),
        step("alice", "/nick ALICE", "/ok nick ALICE"),
        step("bob", "/who lobby", "/here lobby bob", "/here lobby ALICE", "/ok who lobby 2"),
        step("alice", "/unsub lobby", "/ok unsub lobby"),
        step("bob", "/who lobby", "/here lobby bob", "/ok who lobby 1"),
    ),
    "a topic exists from its first use": (
        step("alice", "/topics", "/ok topics 0"),
        step("alice", "/sub quiet", f"/ok sub quiet 0 {EPOCH}"),
        step("bob", "/pub loud hi", "/ok pub loud 1"),
        step("alice", "/topics", "/topic loud 1 0", "/topic quiet 0 1", "/ok topics 2"),
        step("alice", "/history nowhere", "/ok history nowhere 0"),
        step("alice", "/unsub quiet", "/ok unsub quiet"),
        step("alice", "/topics", "/topic loud 1 0", "/ok topics 1"),
    ),
    "what is not followed cannot be left": (
        step("alice", "/unsub lobby", "/err no-such-topic"),
        step("alice", "/sub lobby", f"/ok sub lobby 0 {EPOCH}"),
        step("alice", "/unsub lobby", "/ok unsub lobby"),
        step("alice", "/part lobby", "/err no-such-topic"),
    ),
    "history, oldest first": (
        *published(4),
        step("alice", "/history lobby", *[f"/past lobby {n} {T} bob {n}" for n in (1, 2, 3, 4)], "/ok history lobby 4"),
        step(
            "alice",
            "/history lobby last=2",
            f"/past lobby 3 {T} bob 3",
            f"/past lobby 4 {T} bob 4",
            "/ok history lobby 2",
        ),
        step(
            "alice", "/history lobby before=3", *[f"/past lobby {n} {T} bob {n}" for n in (1, 2)], "/ok history lobby 2"
        ),
        step("alice", "/history lobby last=1 before=3", f"/past lobby 2 {T} bob 2", "/ok history lobby 1"),
        step("alice", "/history lobby before=1", "/ok history lobby 0"),
        step("alice", "/history lobby before=1000 last=1", f"/past lobby 4 {T} bob 4", "/ok history lobby 1"),
    ),
    "resume after a position": (
        *published(4),
        step("alice", "/sub lobby after=2", f"/ok sub lobby 4 {EPOCH}", *events(3, 4)),
        step("bob", "/pub lobby 5", "/ok pub lobby 5"),
        step("alice", "", *events(5)),
        step("carol", f"/sub lobby after=0 epoch={EPOCH}", f"/ok sub lobby 5 {EPOCH}", *events(1, 2, 3, 4, 5)),
    ),
    "resume at the head, and beyond it": (
        *published(2),
        step("alice", "/sub lobby after=2", f"/ok sub lobby 2 {EPOCH}"),
        step("alice", "/sub#x lobby after=3", "/err#x bad-arguments"),
        step("bob", "/pub lobby 3", "/ok pub lobby 3"),
        step("alice", "", *events(3)),
        step("alice", "/sub other after=1", "/err bad-arguments"),
        step("alice", "/unsub other", "/err no-such-topic"),
    ),
    "resume in another log": (
        *published(2),
        step(
            "alice", "/sub lobby after=70 epoch=another1", f"/ok sub lobby 2 {EPOCH}", "/gap lobby 70 2", *events(1, 2)
        ),
        step("alice", "/sub empty after=70 epoch=another1", f"/ok sub empty 0 {EPOCH}", "/gap empty 70 0"),
    ),
    "begin some events back": (
        *published(4),
        step("alice", "/sub lobby last=2", f"/ok sub lobby 4 {EPOCH}", *events(3, 4)),
        step("alice", "/sub lobby last=100", f"/ok sub lobby 4 {EPOCH}", *events(1, 2, 3, 4)),
        step("alice", "/sub lobby last=0", f"/ok sub lobby 4 {EPOCH}"),
        step("alice", "/sub lobby", f"/ok sub lobby 4 {EPOCH}"),
    ),
    "a second subscription replaces the first": (
        *published(2),
        step("alice", "/sub lobby after=0", f"/ok sub lobby 2 {EPOCH}", *events(1, 2)),
        step("alice", "/sub lobby after=1", f"/ok sub lobby 2 {EPOCH}", *events(2)),
        step("bob", "/pub lobby 3", "/ok pub lobby 3"),
        step("alice", "", *events(3)),
        step("alice", "/unsub lobby", "/ok unsub lobby"),
        step("alice", "/unsub lobby", "/err no-such-topic"),
    ),
    "what cannot be meant is refused": (
        step("alice", "/sub", "/err bad-arguments"),
        step("alice", "/sub lobby after=x", "/err bad-arguments"),
        step("alice", "/sub lobby after=1 last=1", "/err bad-arguments"),
        step("alice", "/sub lobby epoch=x", "/err bad-arguments"),
        step("alice", "/sub lobby presence=maybe", "/err bad-arguments"),
        step("alice", "/sub lobby colour=red", "/err bad-arguments"),
        step("alice", "/sub lob/by", "/err bad-name"),
        step("alice", "/history lobby last=0", "/err bad-arguments"),
        step("alice", "/history lobby last=1001", "/err bad-arguments"),
        step("alice", "/history lobby before=0", "/err bad-arguments"),
        step("alice", "/pub lobby", "/err bad-arguments"),
        step("alice", "/msg b/b hi", "/err bad-name"),
        step("alice", "/who", "/err bad-arguments"),
        step("alice", "/topics all", "/err bad-arguments"),
    ),
    "a label is stored once": (
        step("alice", "/sub lobby", f"/ok sub lobby 0 {EPOCH}"),
        step("bob", "/pub#1 lobby one", "/ok#1 pub lobby 1"),
        step("bob", "/pub#1 lobby one", "/ok#1 pub lobby 1"),
        step("bob", "/pub#1 lobby something else", "/ok#1 pub lobby 1"),
        step("bob", "/pub#2 lobby two\n/pub#2 lobby two\n/say#2 lobby two", *["/ok#2 pub lobby 2"] * 3),
        step("bob", "/pub#1 other one", "/ok#1 pub other 3"),
        step("carol", "/pub#1 lobby mine", "/ok#1 pub lobby 4"),
        step("bob", "/msg#1 Dave one", "/ok#1 msg Dave 5"),
        step("bob", "/msg#1 dave one", "/ok#1 msg dave 5"),
        step("bob", "/pub#1 @DAVE one", "/ok#1 pub @dave 5"),
        step("bob", "/nick BOB", "/ok nick BOB"),
        step("bob", "/pub#1 lobby one", "/ok#1 pub lobby 1"),
        step(
            "alice",
            "",
            f"/event lobby 1 {T} bob one",
            f"/event lobby 2 {T} bob two",
            f"/event lobby 4 {T} carol mine",
        ),
    ),
    "replies come in the order of the lines": (
        step(
            "alice",
            "hello\r\n/pub lobby 1\nthere\r\n/history lobby\n/sub#s lobby last=1\n/pub lobby 2\n/who lobby\n/ping\n/no",
            "HELLO",
            "/ok pub lobby 1",
            "THERE",
            f"/past lobby 1 {T} alice 1",
            "/ok history lobby 1",
            f"/ok#s sub lobby 1 {EPOCH}",
            f"/event lobby 1 {T} alice 1",
            f"/event lobby 2 {T} alice 2",
            "/ok pub lobby 2",
            "/here lobby alice",
            "/ok who lobby 1",
            "/ok ping",
            "/err unknown-command",
        ),
    ),
}


def make_room(bounds: MemoryBounds | None = None) -> Room:
    """
    A server whose log has a known epoch.
    """
    clock = Clock()
    room = Room(MemoryHistory(clock, bounds or MemoryBounds(), monotonic=clock.seconds), clock=clock)
    room.history.epoch = EPOCH
    return room


def _once(told: Deferred[None]) -> None:
    if not told.called:
        told.callback(None)


async def heard(client: Client, count: int) -> list[str]:
    """
    Wait until a client has been told so many lines.
    """
    lines = client.news()
    while len(lines) < count:
        told: Deferred[None] = Deferred()
        client.on_received = partial(_once, told)
        await told.addTimeout(DEADLINE, reactor)
        lines += client.news()
    return lines


def apart(lines: list[str]) -> tuple[list[str], list[str]]:
    """
    The replies, and the events, each in their order: where among the replies an event comes depends on when it was
    stored and read.
    """
    live = [line for line in lines if line.startswith(("/event ", "/join ", "/part ", "/gap "))]
    return [line for line in lines if line not in live], live


def without_explanation(line: str) -> str:
    """
    Of an ``/err`` its code only; an explanation there must be.
    """
    if not line.startswith("/err"):
        return line
    word, code, explanation = line.split(" ", 2)
    assert explanation
    return f"{word} {code}"


class ConversationTests(SynchronousTestCase):
    """
    The commands about topics are answered as the protocol says.
    """

    def test_conversations(self) -> None:
        """
        Each conversation goes word for word, and nobody is told anything else.
        """
        for name, conversation in CONVERSATIONS.items():
            room = make_room()
            clients: dict[str, Client] = {}
            for each in conversation:
                if each.who not in clients:
                    clients[each.who] = room.connect()
                    room.ask(clients[each.who], f"/nick {each.who}")
                client = clients[each.who]
                if each.says:
                    client.say(each.says.encode() + b"\n")
                    room.turns()
                heard = tuple(map(without_explanation, client.news()))
                self.assertEqual(heard, each.hears, f"{name}: {each.who} {each.says!r}")
            for who, client in clients.items():
                self.assertEqual(client.news(), [], f"{name}: {who}, in the end")
            room.empty()
            self.assertEqual(room.exchange.hub.followed, [], name)


class SQLiteTests(TestCase):
    """
    The same conversations, with the history that keeps them on disk.
    """

    async def test_conversations(self) -> None:
        """
        Each conversation goes word for word, whatever the history is made of.
        """
        for number, (name, conversation) in enumerate(CONVERSATIONS.items()):
            history = from_string(f"sqlite:{self.mktemp()}{number}.sqlite3", reactor)
            room = Room(history, clock=reactor)
            self.addCleanup(room.exchange.close)
            self.addCleanup(room.empty)
            await room.opened
            clients: dict[str, Client] = {}
            for each in conversation:
                if each.who not in clients:
                    clients[each.who] = room.connect()
                    clients[each.who].say(f"/nick {each.who}\n".encode())
                    await heard(clients[each.who], 1)
                client = clients[each.who]
                if each.says:
                    client.say(each.says.replace(EPOCH, history.epoch).encode() + b"\n")
                # What is told too much comes with the next that is waited for.
                lines = [_TIME.sub(T, without_explanation(line)) for line in await heard(client, len(each.hears))]
                expected = [line.replace(EPOCH, history.epoch) for line in each.hears]
                self.assertEqual(apart(lines), apart(expected), f"{name}: {each.who} {each.says!r}")
            for who, client in clients.items():
                self.assertEqual(client.news(), [], f"{name}: {who}, in the end")


class LimitTests(SynchronousTestCase):
    """
    What is bounded, and what is told of it.
    """

    def test_too_many_subscriptions(self) -> None:
        """
        A connection follows 128 topics; the next is refused with the limit, one that it follows already is not.
        """
        room = make_room()
        client, other = room.connect(), room.connect()
        for number in range(128):
            client.say(f"/sub t{number}\n".encode())
        room.turns()
        self.assertEqual(len(client.news()), 128)
        (answer,) = room.ask(client, "/sub#x one-more")
        self.assertEqual(answer, "/err#x too-many subscriptions of a connection: 128")
        self.assertEqual(room.ask(client, "/sub t5 last=0"), [f"/ok sub t5 0 {EPOCH}"])
        self.assertEqual(room.ask(client, "/unsub t5"), ["/ok unsub t5"])
        self.assertEqual(room.ask(client, "/sub one-more"), [f"/ok sub one-more 0 {EPOCH}"])
        self.assertEqual(room.ask(other, "/sub one-more"), [f"/ok sub one-more 0 {EPOCH}"])
        room.empty()

    def test_history_in_bounds(self) -> None:
        """
        ``/history`` gives 50 unless told, and 1,000 at most.
        """
        room = make_room()
        client = room.connect()
        room.ask(client, "\n".join(f"/pub lobby {n}" for n in range(1_200)))
        for asked, count in (("", 50), (" last=1000", 1_000), (" last=7", 7)):
            *items, closing = map(str, room.ask(client, f"/history lobby{asked}"))
            self.assertEqual((len(items), closing), (count, f"/ok history lobby {count}"))
            self.assertTrue(items[-1].endswith(" 1199"))
        room.empty()

    def test_history_of_long_texts(self) -> None:
        """
        However long the texts are: what one ``/history`` brings is bounded, the newest of it comes, and the closing
        line says how many.
        """
        room = make_room()
        client = room.connect()
        for n in range(20):
            room.ask(client, f"/pub lobby {n:02}{'x' * 60_000}")
        client.say(b"/history lobby last=20\n")
        room.turns()
        *items, closing = client.answers()
        self.assertEqual(closing, Ok("history", f"lobby {len(items)}"))
        self.assertEqual([each.text[:2] for each in items if isinstance(each, Past)], ["16", "17", "18", "19"])
        room.empty()

    def test_guests_from_elsewhere(self) -> None:
        """
        A guest from another machine publishes ten at once and five a second; a refused publish is not stored, says when
        to try again, and who does that is not refused. Who is on this machine is not limited.
        """
        room = make_room()
        near, far = room.connect(), room.connect("203.0.113.7")
        far.say("".join(f"/pub#{n} lobby {n}\n" for n in range(12)).encode())
        room.turns()
        heard = far.answers()
        self.assertEqual(heard[:10], [Ok("pub", f"lobby {n + 1}", str(n)) for n in range(10)])
        for label, answer in enumerate(heard[10:], start=10):
            assert isinstance(answer, Err)
            self.assertEqual((answer.code, answer.label), ("slow-down", str(label)))
            self.assertIn("try again in 0.2 seconds", answer.explanation)
        self.assertEqual(room.ask(far, "hello\n/ping"), ["HELLO\n/ok ping"])
        room.clock.advance(0.05)
        self.assertIn("try again in 0.2 seconds", room.ask(far, "/say lobby hi")[0])
        room.clock.advance(0.15)
        self.assertEqual(room.ask(far, "/msg bob hi"), ["/ok msg bob 11"])
        self.assertTrue(room.ask(far, "/say lobby hi")[0].startswith("/err slow-down "))
        near.say(b"/pub lobby hi\n" * 100)
        room.turns()
        self.assertEqual(near.news()[-1], "/ok pub lobby 111")
        room.empty()

    def test_what_retention_took(self) -> None:
        """
        What has been removed is told by one ``/gap``, before the first event, and not at all where it was not asked
        for.
        """
        room = make_room(MemoryBounds(events=3))
        client = room.connect()
        for n in range(1, 6):
            client.say(f"/pub lobby {n}\n".encode())
            room.turns()
        client.news()
        lines = [f"/event lobby {n} {T} guest-1 {n}" for n in (3, 4, 5)]
        for options, expected in (
            ("after=0", ["/gap lobby 0 2", *lines]),
            ("after=1", ["/gap lobby 1 2", *lines]),
            ("after=2", lines),
            ("after=4", lines[2:]),
            ("last=5", lines),
            ("after=9 epoch=another1", ["/gap lobby 9 5", *lines]),
        ):
            self.assertEqual(
                room.ask(client, f"/sub lobby {options}"), [f"/ok sub lobby 5 {EPOCH}", *expected], options
            )
        self.assertEqual(room.exchange.counters.gaps, 3)
        room.empty()


class EndTests(SynchronousTestCase):
    """
    What was asked before the end is answered before the end.
    """

    def publishing(self, ending: bytes) -> tuple[Client, ScriptedHistory, Room]:
        history = ScriptedHistory()
        room = Room(history)
        client = room.connect()
        client.say(b"hello\n/pub#a lobby 1\n/pub#b lobby 2\nthere\n" + ending)
        room.turns()
        return client, history, room

    def check_end(self, client: Client, history: ScriptedHistory, room: Room, bye: bytes = b"") -> None:
        self.assertEqual(client.received, b"HELLO\n")
        self.assertFalse(client.ended)
        history.store()
        self.assertFalse(client.ended)
        history.tell()
        self.assertEqual(client.received, b"HELLO\n/ok#a pub lobby 1\r\n/ok#b pub lobby 3\r\nTHERE\n" + bye)
        self.assertTrue(client.ended)
        room.empty()

    def test_close_socket(self) -> None:
        """
        ``CLOSE SOCKET`` behind publishes: they are acknowledged, then the connection closes; what is behind it is not
        done.
        """
        client, history, room = self.publishing(b"CLOSE SOCKET\n/pub lobby 3\n")
        client.say(b"/pub lobby 4\n")
        self.check_end(client, history, room)
        self.assertEqual([event.text for event in history.log], ["1", "2"])

    def test_quit(self) -> None:
        """
        ``/quit`` behind publishes is answered behind them.
        """
        self.check_end(*self.publishing(b"/quit#q\n/pub lobby 3\n"), bye=b"/ok#q quit\r\n")

    def test_half_close(self) -> None:
        """
        A client that has said all, and closed its half, is told what became of it.
        """
        client, history, room = self.publishing(b"unfinished")
        client.half_close()
        self.check_end(client, history, room)
        self.assertTrue(client.gone)

    def test_half_close_with_questions_held(self) -> None:
        """
        Questions that wait for publishes are asked and answered, too, after the client has closed its half.
        """
        history = ScriptedHistory()
        room = Room(history)
        client = room.connect()
        client.say(b"/pub lobby 1\n/history lobby\n/who lobby\n/pub lobby 2\nend\n")
        client.half_close()
        room.turns()
        for _ in range(2):
            history.store()
            history.tell()
            history.answer_all()
            room.turns()
        self.assertEqual(
            client.received.decode(),
            f"/ok pub lobby 1\r\n/past lobby 1 {T} guest-1 1\r\n/ok history lobby 1\r\n/ok who lobby 0\r\n"
            "/ok pub lobby 3\r\nEND\n",
        )
        self.assertTrue(client.gone)
        room.empty()


SAID = (
    b"hello\n",
    b"stra\xc3\x9fe\r\n",
    b"//x\n",
    b"/pub lobby a\n",
    b"/pub#1 lobby b\r\n",
    b"/pub#1 lobby b\n",
    b"/say other  c \n",
    b"/msg guest-1 d\n",
    b"/pub lobby\n",
    b"/pub lobby \x07\n",
    b"/sub lobby\n",
    b"/sub lobby after=0\n",
    b"/sub lobby after=1 epoch=another1\n",
    b"/sub lobby after=99\n",
    b"/sub @guest-1 last=2 presence=on\n",
    b"/join other presence=on\n",
    b"/unsub lobby\n",
    b"/history#h lobby last=3\n",
    b"/history other before=4\n",
    b"/who lobby\n",
    b"/topics\n",
    b"/nick bob\n",
    b"/nick guest-1\n",
    b"/whoami\n",
    b"/ping x\n",
    b"\xff\n",
    b"CLOSE SOCKET\n",
)
"""
What one client may say. Nothing of it is answered differently at another moment.
"""


class SegmentTests(SynchronousTestCase):
    """
    How the bytes were cut on their way makes no difference to what is answered.
    """

    def said(self, stream: list[bytes]) -> tuple[list[str], list[str]]:
        """
        :return: the replies to what arrives in these segments, and the events, :func:`apart`.
        """
        room = make_room()
        client = room.connect()
        for segment in stream:
            if not client.ended:
                client.say(segment)
                room.turns()
        client.half_close()
        room.turns()
        self.assertTrue(client.gone)
        room.empty()
        self.assertEqual(room.clock.getDelayedCalls(), [])
        return apart(client.received.decode().splitlines())

    @reproducible
    @given(st.lists(st.sampled_from(SAID), max_size=20), st.data())
    def test_any_split(self, lines: list[bytes], data: st.DataObject) -> None:
        """
        Publishes, questions and messages in one segment, in one each, or cut anywhere: the same replies in the same
        order, and the same events in the same order.
        """
        stream = b"".join(lines)
        cuts = data.draw(st.sets(st.integers(0, len(stream)), max_size=8))
        edges = sorted({0, len(stream), *cuts})
        at_once = self.said([stream] if stream else [])
        self.assertEqual(self.said([stream[start:end] for start, end in pairwise(edges)]), at_once)
        self.assertEqual(self.said(lines), at_once)
