"""
Tests for :mod:`echochat.chat.fellows.facts`.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.chat.ban_book import BanRecord
from echochat.chat.fellows import facts as module
from echochat.chat.fellows.encoding import MOST_BYTES, encode
from echochat.chat.fellows.facts import PART, Facts, TopicFacts, split
from echochat.chat.fellows.fellow import Population
from echochat.chat.fellows.messages import News
from tests.wire.examples import reproducible

NAMES = st.lists(st.sampled_from(["alice", "bob", "Bob", "carol", "dave", "erin"]), max_size=6, unique=True)
FACTS = st.builds(
    Facts,
    st.dictionaries(
        st.sampled_from(["lobby", "games", "@bob"]), st.builds(TopicFacts, st.integers(0, 9), NAMES, NAMES)
    ),
    NAMES,
    NAMES,
    NAMES,
    st.lists(st.builds(BanRecord, st.just("bob"), st.integers(1, 9), st.none()), max_size=4),
)


class SplitTests(SynchronousTestCase):
    """
    What has to be told is cut into messages.
    """

    @settings(reproducible, max_examples=200)
    @given(FACTS, st.integers(1, 400), st.integers(1, 4))
    def test_says_the_same(self, facts: Facts, most: int, at_once: int) -> None:
        """
        However small the parts are, together and in their order they say what the whole does.
        """
        self.patch(module, "_AT_ONCE", at_once)
        whole, parts = Population(), Population()
        for population in (whole, parts):
            population.take(Facts({"lobby": TopicFacts(1, ["bob", "erin"])}, ["alice", "erin"]))
        whole.take(facts)
        cut = split(facts, most)
        for part in cut:
            parts.take(part)
        self.assertEqual(parts, whole)
        self.assertEqual([name for part in cut for name in part.shown], facts.shown)
        self.assertEqual([record for part in cut for record in part.bans], facts.bans)

    def test_bounded(self) -> None:
        """
        Messages about very many people fit into what a broker takes and a fellow reads, and are not many more than
        they have to be.
        """
        names = [f"{'x' * 26}{number:06}" for number in range(5_000)]
        bans = [BanRecord(f"{number:064}", 10**15, 10**15) for number in range(1_000)]
        facts = Facts(
            {name * 4: TopicFacts(10**6, [name], [name]) for name in names}
            | {"lobby": TopicFacts(10**6, names, names)},
            names,
            names,
            names,
            bans,
        )
        sizes = [len(encode(News("server01", 1, part))) for part in split(facts)]
        self.assertLess(max(sizes), min(MOST_BYTES, 2 * PART))
        self.assertLess(len(sizes), sum(sizes) / PART * 2)

    def test_nothing(self) -> None:
        """
        Even of nothing there is one part, since that nobody is there has to be told.
        """
        self.assertEqual(split(Facts()), [Facts()])
