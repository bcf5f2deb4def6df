"""
Tests for :mod:`echochat.identity.passwords`.
"""

import re

from argon2 import extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.identity.passwords import (
    HASHER,
    PasswordRefused,
    check_new_password,
    hash_password,
    is_hash,
    is_possible,
    verify,
)
from tests.identity.doubles import CHEAP, cheap_hash
from tests.wire.examples import reproducible

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def phc(parameters: str = "m=8,t=1,p=1", salt: str = "c2FsdHNhbHQ", digest: str = "AAAAAAAAAAAAAAAAAAAAAA") -> str:
    """
    A hash, right or wrong.
    """
    return f"$argon2id$v=19${parameters}${salt}${digest}"


class NewPasswordTests(SynchronousTestCase):
    """
    A password that somebody sets is one that they can type.
    """

    def test_good(self) -> None:
        """
        Any text will do, spaces in it and other scripts too, up to 1,024 bytes.
        """
        for password in ("x", "correct horse battery staple", "пароль", "a\tb", "x" * 1024):
            check_new_password(password.encode())

    def test_bad(self) -> None:
        """
        What cannot be a password is refused with the reason, which does not repeat it.
        """
        for password, reason in (
            (b"", "empty"),
            (b"x" * 1025, "at most 1024 bytes"),
            (b"canary\xff", "UTF-8"),
            (b"canary\nx", "one line"),
            (b"canary\0", "control characters"),
            (b" canary", "space"),
            (b"canary ", "space"),
        ):
            refused = str(self.assertRaises(PasswordRefused, check_new_password, password))
            self.assertIn(reason, refused)
            self.assertNotIn("canary", refused)

    def test_possible(self) -> None:
        """
        Nothing is hashed for somebody who sends no password, or more than a password can have.
        """
        self.assertEqual([is_possible(b"x" * size) for size in (0, 1, 1024, 1025)], [False, True, True, False])


class HashTests(SynchronousTestCase):
    """
    What is kept of a password is Argon2id as OWASP says, with a salt of its own.
    """

    def test_parameters(self) -> None:
        """
        19 MiB, two passes, one lane, 16 bytes of salt and 32 of hash.
        """
        kept = hash_password(b"secret")
        self.assertTrue(is_hash(kept))
        parameters = extract_parameters(kept)
        self.assertEqual(
            (parameters.type, parameters.version, parameters.memory_cost, parameters.time_cost),
            (Type.ID, 19, 19 * 1024, 2),
        )
        self.assertEqual((parameters.parallelism, parameters.salt_len, parameters.hash_len), (1, 16, 32))
        self.assertFalse(HASHER.check_needs_rehash(kept))

    def test_salt(self) -> None:
        """
        Two who have the same password do not find out.
        """
        self.assertNotEqual(cheap_hash(b"secret"), cheap_hash(b"secret"))

    def test_verify(self) -> None:
        """
        Only the password itself is right, and what is no hash is right for none.
        """
        kept = cheap_hash(b"secret")
        self.assertTrue(verify(kept, b"secret"))
        for other in (b"Secret", b"secret ", b"", b"secret\0"):
            self.assertFalse(verify(kept, other))
        self.assertFalse(verify("x", b"secret"))

    def test_other_programs(self) -> None:
        """
        Hashes by other programs are taken: the first is by the reference implementation (argon2-cffi's test vector).
        """
        reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
        self.assertTrue(is_hash(reference))
        self.assertTrue(verify(reference, b"password"))

    def test_wrong_hashes(self) -> None:
        """
        Other kinds of hashes, parameters without bound, and what is not written as it should be, are none.
        """
        self.assertTrue(is_hash(phc()))
        for wrong in (
            "",
            "secret",
            "$2b$12$abcdefghijklmnopqrstuv",
            phc().replace("argon2id", "argon2i"),
            phc().replace("v=19", "v=16"),
            phc("m=7,t=1,p=1"),
            phc("m=8,t=1,p=2"),
            phc("m=262145,t=1,p=1"),
            phc("m=8,t=17,p=1"),
            phc("m=1024,t=1,p=17"),
            phc("m=08,t=1,p=1"),
            phc("t=1,m=8,p=1"),
            phc(salt="c2FsdHNhbA"),
            phc(salt="c2FsdHNhbHR"),
            phc(salt="c2FsdHNhbHQ="),
            phc(digest="AAAAAAAAAAAAAA"),
            phc(digest="AAAAAAAAAAAAAAAAAAAAAB"),
            phc() + "\n",
            phc() + "$",
        ):
            self.assertFalse(is_hash(wrong), wrong)

    @settings(reproducible, max_examples=100)
    @given(
        st.from_regex(
            re.compile(
                r"\$argon2id\$v=(19|16)\$m=[0-9]{1,3},t=[0-9],p=[0-9]\$[A-Za-z0-9+/=]{9,14}\$[A-Za-z0-9+/=]{14,24}",
                re.ASCII,
            ),
            fullmatch=True,
        )
    )
    @example(phc(digest="AAAAAAAAAAAAAAAA"))
    def test_what_is_taken_can_be_verified(self, written: str) -> None:
        """
        Whatever passes for a hash is one to Argon2, too: no login fails because the file is broken.
        """
        if is_hash(written):
            try:
                CHEAP.verify(written, b"secret")
            except InvalidHashError:
                self.fail(f"{written} is not a hash")
            except VerificationError as error:
                self.assertIn("does not match", str(error))
