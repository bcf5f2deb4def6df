"""
Which publishes are sent, in which order, and how often.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.client.outbox import Outbox, Publish
from tests.wire.examples import reproducible


def texts(publishes: list[Publish]) -> list[str]:
    return [publish.text for publish in publishes]


class OutboxTests(SynchronousTestCase):
    """
    Everything is sent until it is acknowledged, in order, under one label, and never when that could do it twice.
    """

    def setUp(self) -> None:
        self.outbox = Outbox("run", window=3, dedupe_window=100.0)

    def test_window(self) -> None:
        """
        No more than the window is on the way; what is acknowledged makes room.
        """
        added = [self.outbox.add("t", text) for text in "abcde"]
        self.assertEqual(texts(self.outbox.take(0.0)), ["a", "b", "c"])
        self.assertEqual(self.outbox.take(0.0), [])
        self.outbox.done(added[1])
        self.assertEqual(texts(self.outbox.take(0.0)), ["d"])
        self.assertEqual(len(self.outbox), 4)

    def test_labels(self) -> None:
        """
        Every publish has a label of its own, which begins with the run's; a caller's own is kept.
        """
        labels = [self.outbox.add("t", "x").label for _ in range(3)]
        self.assertEqual(labels, ["run.1", "run.2", "run.3"])
        self.assertEqual(self.outbox.add("t", "x", "mine").label, "mine")

    def test_label_in_use(self) -> None:
        """
        Two publishes under one label would be one; the second is refused until the first is done.
        """
        first = self.outbox.add("t", "x", "mine")
        self.assertRaises(ValueError, self.outbox.add, "t", "y", "mine")
        self.outbox.done(first)
        self.outbox.add("t", "y", "mine")
        self.assertEqual(texts(self.outbox.take(0.0)), ["y"])

    def test_nonsense(self) -> None:
        """
        What every server would refuse is refused at once.
        """
        for topic, text, label in (("no topic", "x", None), ("t", "a\nb", None), ("t", "\ud800", None), ("t", "x", "")):
            self.assertRaises(ValueError, self.outbox.add, topic, text, label)
        self.assertEqual(len(self.outbox), 0)

    def test_connection_lost(self) -> None:
        """
        What was on the way is sent again, before what was not, in order.
        """
        added = [self.outbox.add("t", text) for text in "abcde"]
        self.outbox.take(0.0)
        self.outbox.done(added[0])
        self.outbox.connection_lost()
        self.assertEqual(texts(self.outbox.take(0.0)), ["b", "c", "d"])

    def test_again(self) -> None:
        """
        What was refused for the moment waits in its old place.
        """
        added = [self.outbox.add("t", text) for text in "abcde"]
        self.outbox.take(0.0)
        self.outbox.again(added[2])
        self.outbox.again(added[0])
        self.assertEqual(texts(self.outbox.take(0.0)), ["a", "c"])

    def test_again_after_the_connection(self) -> None:
        """
        A refusal that comes when the publish waits already does not double it.
        """
        added = self.outbox.add("t", "a")
        self.outbox.take(0.0)
        self.outbox.connection_lost()
        self.outbox.again(added)
        self.assertEqual(texts(self.outbox.take(0.0)), ["a"])

    def test_given_up(self) -> None:
        """
        What its caller gave up while it waited is not sent.
        """
        added = [self.outbox.add("t", text) for text in "ab"]
        self.outbox.done(added[0])
        self.assertEqual(texts(self.outbox.take(0.0)), ["b"])

    def test_forgotten(self) -> None:
        """
        What was sent so long ago that servers forgot its label is given up; what never was sent waits for ever.
        """
        for text in "abcd":
            self.outbox.add("t", text)
        self.outbox.take(0.0)
        self.outbox.connection_lost()
        self.assertEqual(self.outbox.forgotten(100.0), [])
        self.assertEqual(texts(self.outbox.forgotten(100.1)), ["a", "b", "c"])
        self.assertEqual(texts(self.outbox.take(1000.0)), ["d"])

    def test_first_sending_counts(self) -> None:
        """
        Sending again does not make a label younger.
        """
        self.outbox.add("t", "a")
        self.outbox.take(0.0)
        self.outbox.connection_lost()
        self.outbox.take(60.0)
        self.outbox.connection_lost()
        self.assertEqual(texts(self.outbox.forgotten(101.0)), ["a"])

    def test_clear(self) -> None:
        """
        At the end everything unacknowledged is handed back once, oldest first.
        """
        added = [self.outbox.add("t", text) for text in "abcde"]
        self.outbox.take(0.0)
        self.outbox.done(added[4])
        self.assertEqual(texts(self.outbox.clear()), ["a", "b", "c", "d"])
        self.assertEqual((self.outbox.clear(), self.outbox.take(0.0), len(self.outbox)), ([], [], 0))

    @settings(reproducible, max_examples=100)
    @given(st.lists(st.sampled_from(["add", "take", "ack", "again", "lost"]), max_size=60), st.randoms())
    def test_any_course(self, course: list[str], chance: st.DataObject) -> None:
        """
        Whatever happens in whatever order, each publish is sent at least once and nothing is sent that is done; what
        is sent again after a connection's end is sent in order.
        """
        outbox = Outbox("run", window=3)
        on_the_way: list[Publish] = []
        done: set[Publish] = set()
        added: list[Publish] = []

        def take() -> None:
            taken = outbox.take(0.0)
            self.assertEqual([p.number for p in taken], sorted(p.number for p in taken))
            self.assertFalse(done & set(taken))
            self.assertFalse(set(on_the_way) & set(taken))
            on_the_way.extend(taken)
            self.assertLessEqual(len(on_the_way), 3)

        for step in course:
            if step == "add":
                added.append(outbox.add("t", "x"))
            elif step == "take":
                take()
            elif step == "lost":
                outbox.connection_lost()
                on_the_way.clear()
            elif on_the_way:
                publish = on_the_way.pop(chance.randrange(len(on_the_way)))  # type: ignore[attr-defined]
                if step == "ack":
                    outbox.done(publish)
                    done.add(publish)
                else:
                    outbox.again(publish)
        while len(outbox):
            take()
            for publish in on_the_way:
                outbox.done(publish)
                done.add(publish)
            on_the_way.clear()
        self.assertEqual(done, set(added))
