"""
Tests for :mod:`echochat.net.tls.reasons`.
"""

from OpenSSL.SSL import Error, SysCallError, X509VerificationCodes
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echochat.net.tls.reasons import cause_in_words, verdict_in_words


class CauseTests(SynchronousTestCase):
    """
    Whoever reads the log or a message learns what happened, in words.
    """

    def test_table(self) -> None:
        """
        OpenSSL's own words differ from version to version; what is not known is quoted.
        """
        for error, words in (
            (Error([("SSL routines", "", "tlsv1 alert unknown ca")]), "the peer does not trust the authority of our"),
            (Error([("SSL routines", "", "sslv3 alert certificate revoked")]), "certificate, which was revoked"),
            (Error([("SSL routines", "", "ssl/tls alert certificate revoked")]), "certificate, which was revoked"),
            (Error([("SSL routines", "", "tlsv13 alert certificate required")]), "the peer asks for a certificate"),
            (Error([("SSL routines", "", "tls alert decode error")]), "the peer broke off: decode error"),
            (Error([("SSL routines", "", "wrong version number")]), "the peer does not speak TLS"),
            (Error([("SSL routines", "", "first"), ("SSL routines", "", "second")]), "not as it should be: first"),
            (Error([]), "the peer went away"),
            (Error(), "the peer went away"),
            (SysCallError(-1, "Unexpected EOF"), "the peer went away"),
            (ConnectionDone(), "the peer went away"),
            (ConnectionLost(), "the peer went away"),
            (ConnectionAborted(), "it was broken off"),
        ):
            self.assertIn(words, cause_in_words(Failure(error), "", "the peer"))

    def test_refusal(self) -> None:
        """
        What was noted when a certificate was refused says more than OpenSSL does.
        """
        error = Error([("SSL routines", "", "certificate verify failed")])
        self.assertEqual(cause_in_words(Failure(error), "it was old", "the peer"), "it was old")


class VerdictTests(SynchronousTestCase):
    """
    What is wrong with a certificate is told, and whose it is.
    """

    def test_verdicts(self) -> None:
        """
        Known ones in words, and others by a number that can be looked up.
        """
        for error, depth, words in (
            (X509VerificationCodes.ERR_CERT_HAS_EXPIRED, 0, "the peer's certificate has expired"),
            (X509VerificationCodes.ERR_CERT_HAS_EXPIRED, 1, "an authority's certificate behind the peer's has expired"),
            (9999, 0, "the peer's certificate is not acceptable (error 9999 of openssl-verify(1))"),
        ):
            self.assertEqual(verdict_in_words(error, depth, "the peer"), words)
