"""
Tests for :mod:`echochat.history.jetstream.subjects`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.history.jetstream.subjects import NO_TOPIC, NotAnEvent, read, token, topic_of, write
from echochat.history.records import Draft
from echochat.wire.names import MAX_NAME, is_name, is_text, is_topic
from tests.wire.examples import reproducible

TEXT = st.text(st.characters(exclude_categories=["Cs"])).filter(is_text)
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]))
TOPIC = st.from_regex(r"@?[A-Za-z0-9][A-Za-z0-9._-]{0,31}", fullmatch=True)
NAME = st.from_regex(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}", fullmatch=True)


class SubjectTests(SynchronousTestCase):
    """
    No topic can name a subject that is not its own.
    """

    def test_examples(self) -> None:
        """
        Most topics are their own subjects; a dot would begin another token.
        """
        for topic, written in (("lobby", "lobby"), ("@Alice", "@Alice"), ("a.b-c_D", "a=2Eb-c_D"), ("", "")):
            self.assertEqual(token(topic), written)

    @settings(reproducible, max_examples=100)
    @given(st.one_of(ANYTHING, TOPIC))
    def test_one_token_and_back(self, topic: str) -> None:
        """
        Whatever a topic is, it is one token without wildcard or white space, and a topic can be told again: so no two
        topics share one. What is none is not told.
        """
        self.assertRegex(token(topic), r"\A[A-Za-z0-9_@=-]*\Z")
        self.assertNotEqual(token(topic), NO_TOPIC)
        if is_topic(topic):
            self.assertEqual(topic_of(f"echochat.{token(topic)}"), topic)
        else:
            self.assertRaises(NotAnEvent, topic_of, f"echochat.{token(topic)}")

    @settings(reproducible, max_examples=100)
    @given(st.from_regex(r"[A-Za-z0-9_@=.-]{0,20}", fullmatch=True))
    def test_other_subjects(self, written: str) -> None:
        """
        A subject that no topic has is nobody's: it is not taken for a topic's.
        """
        try:
            topic = topic_of(f"echochat.{written}")
        except NotAnEvent:
            return
        self.assertEqual(token(topic), written)


class MessageTests(SynchronousTestCase):
    """
    An event as a message.
    """

    @settings(reproducible, max_examples=100)
    @given(TOPIC, NAME, TEXT, st.integers(0, 1 << 50))
    def test_and_back(self, topic: str, name: str, text: str, time: int) -> None:
        """
        What is written is what is read.
        """
        draft = Draft(topic, name, text, None, time)
        self.assertEqual(read(f"x.{token(topic)}", write(draft)), draft)

    @settings(reproducible, max_examples=100)
    @given(TOPIC, st.one_of(ANYTHING, NAME), ANYTHING)
    def test_what_nobody_may_publish(self, topic: str, name: str, text: str) -> None:
        """
        What would act on a terminal, or forge another line, is no event, whoever has written it.
        """
        payload = write(Draft(topic, name, text, None, 1))
        if is_name(name) and is_text(text):
            self.assertEqual(read(f"x.{token(topic)}", payload).text, text)
            return
        try:
            found = read(f"x.{token(topic)}", payload)
        except NotAnEvent:
            return
        # A space in the name has moved its end into the text.
        self.assertTrue(is_name(found.name) and is_text(found.text))

    @settings(reproducible, max_examples=100)
    @given(st.binary(max_size=40))
    def test_something_else(self, payload: bytes) -> None:
        """
        What others put into the stream is an event or named, and never another failure.
        """
        try:
            read("x.lobby", payload)
        except NotAnEvent as error:
            self.assertIn("lobby", str(error))
