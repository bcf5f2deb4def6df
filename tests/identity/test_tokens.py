"""
Tests for :mod:`echochat.identity.tokens`.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from typing import Any

import jwt
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echochat.identity.files import FileRefused
from echochat.identity.keys import Key
from echochat.identity.tokens import MAX_TOKEN, Grants, Token, TokenRefused, Tokens, check_token, make_token
from echochat.identity.topic_sets import TopicSet
from tests.identity.doubles import write_file
from tests.identity.test_keys import ED25519, RSA, SHARED, private_pem, public_key
from tests.wire.examples import reproducible

NOW = 1_750_000_000.0
KEY = Key("HS256", SHARED.encode())
OTHER = Key("HS256", SHARED[::-1].encode())
NOT_OURS = "the token is not one of this server's"


def encoded(value: object) -> str:
    """
    A part of a token.
    """
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(claims: object, key: Key = KEY, **header: Any) -> str:
    """
    A token with any claims, signed as it should be.
    """
    content = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return jwt.PyJWS().encode(content, key.material, key.algorithm, header)


def good(**claims: Any) -> dict[str, Any]:
    """
    Claims that are in order, and others.
    """
    return {"sub": "alice", "exp": NOW + 60, **claims}


class TokenTestCase(SynchronousTestCase):
    """
    Reads tokens that are wrong.
    """

    def refusal(self, token: str, key: Key = KEY, now: float = NOW) -> str:
        """
        What its owner is told about a token.
        """
        return str(self.assertRaises(TokenRefused, check_token, token, key, now))


class ClaimTests(TokenTestCase):
    """
    What a signed token has to say.
    """

    def test_good(self) -> None:
        """
        A name and an end are enough; other claims do not matter.
        """
        expected = Token("alice", NOW + 60)
        self.assertEqual(check_token(signed(good()), KEY, NOW), expected)
        self.assertEqual(check_token(signed(good(iat=NOW + 9, jti="x", iss="y", role="admin")), KEY, NOW), expected)

    def test_end(self) -> None:
        """
        A token is good until its end and not at it; without an end it is none.
        """
        token = signed(good())
        check_token(token, KEY, NOW + 59.999)
        self.assertEqual(self.refusal(token, now=NOW + 60), "the token has expired")
        self.assertEqual(self.refusal(signed({"sub": "alice"})), "the token does not say when it is valid")

    def test_beginning(self) -> None:
        """
        A token that is for later is not good before.
        """
        token = signed(good(nbf=NOW + 10))
        check_token(token, KEY, NOW + 10)
        self.assertEqual(self.refusal(token, now=NOW + 9.999), "the token is not valid yet")

    def test_times_that_are_none(self) -> None:
        """
        A time is a number of seconds that a calendar has.
        """
        wrongs: tuple[Any, ...] = (None, True, "1750000060", [], {}, -1, 10**12, 10**400)
        for wrong in wrongs:
            for claim in ("exp", "nbf"):
                refused = self.refusal(signed(good(**{claim: wrong})))
                self.assertEqual(refused, "the token does not say when it is valid")
        for wrong_json in (b"NaN", b"Infinity", b"1e400"):
            self.refusal(signed(b'{"sub":"alice","exp":' + wrong_json + b"}"))

    def test_name(self) -> None:
        """
        The name is one that an account could have.
        """
        for wrong in (None, 1, True, ["alice"], "", "a b", "alice\n", "-x", "x" * 33, "guest", "User", "älice"):
            self.assertEqual(
                self.refusal(signed(good(sub=wrong))), "the token has no name that one may have here", wrong
            )
        self.assertIn("no name", self.refusal(signed({"exp": NOW + 60})))

    def test_audience(self) -> None:
        """
        A token that is for other services only is refused: the same key may sign for many.
        """
        check_token(signed(good(aud="echochat")), KEY, NOW)
        check_token(signed(good(aud=["other", "echochat"])), KEY, NOW)
        others: tuple[Any, ...] = ("other", ["other"], [], "", None, "echochat2", {"echochat": 1}, 1)
        for audience in others:
            self.assertEqual(
                self.refusal(signed(good(aud=audience))), "the token is meant for another service", audience
            )

    def test_grants(self) -> None:
        """
        Topics that are granted are read; what is left out is not granted, and no claim is no limit.
        """
        claim = {"read": ["news.*", "@Alice"], "publish": []}
        grants = check_token(signed(good(topics=claim)), KEY, NOW).grants
        self.assertEqual(grants, Grants(read=TopicSet.parse(["news.*", "@alice"])))
        self.assertEqual(check_token(signed(good(topics={})), KEY, NOW).grants, Grants())
        self.assertIsNone(check_token(signed(good()), KEY, NOW).grants)

    def test_wrong_grants(self) -> None:
        """
        Grants that are not understood are not guessed at.
        """
        wrongs: tuple[Any, ...] = (None, [], "news", {"write": []}, {"read": "news"}, {"read": [1]}, {"read": ["a b"]})
        for wrong in (*wrongs, {"": []}):
            refused = self.refusal(signed(good(topics=wrong)))
            self.assertEqual(refused, "the token grants topics in a way that is not understood", wrong)


class SignatureTests(TokenTestCase):
    """
    Only whoever has the key makes tokens, and only with the algorithm that is the key's.
    """

    def test_each_kind(self) -> None:
        """
        Tokens by each kind of key are good for the server that has its other half, and for no other.
        """
        keys = [
            (KEY, KEY),
            (OTHER, OTHER),
            (Key("EdDSA", ED25519), Key("EdDSA", ED25519.public_key())),
            (Key("RS256", RSA), Key("RS256", RSA.public_key())),
        ]
        token = Token("alice", NOW + 60, Grants(publish=TopicSet.parse(["lobby"])))
        for number, (signing, _) in enumerate(keys):
            made = make_token(signing, token, NOW)
            for other, (_, checking) in enumerate(keys):
                if number == other:
                    self.assertEqual(check_token(made, checking, NOW), token)
                else:
                    self.assertEqual(self.refusal(made, checking), NOT_OURS)

    def test_none(self) -> None:
        """
        A token that says that it needs no signature is refused, in any letter case of it.
        """
        for algorithm in ("none", "None", "NONE", "nOnE", "", None, 1, ["HS256"]):
            unsigned = f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(good())}."
            self.assertEqual(self.refusal(unsigned), NOT_OURS)
            self.assertEqual(self.refusal(unsigned, Key("EdDSA", ED25519.public_key())), NOT_OURS)

    def test_confusion(self) -> None:
        """
        The public key, which anybody knows, is of no use as a shared one.
        """
        for checking, known in (
            (Key("RS256", RSA.public_key()), public_key(RSA)),
            (Key("EdDSA", ED25519.public_key()), public_key(ED25519)),
        ):
            head = f"{encoded({'alg': 'HS256', 'typ': 'JWT'})}.{encoded(good())}"
            hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
            for secret in (known, known.strip()):
                forged = f"{head}.{encoded(hmac.sign(head.encode(), secret))}"
                self.assertEqual(self.refusal(forged, checking), NOT_OURS)

    def test_other_algorithms_of_the_same_key(self) -> None:
        """
        A shared key is for HS256 only, an RSA key for RS256 only.
        """
        for algorithm, material, checking in (
            ("HS384", KEY.material * 2, Key("HS256", KEY.material * 2)),
            ("HS512", KEY.material * 2, Key("HS256", KEY.material * 2)),
            ("RS512", RSA, Key("RS256", RSA.public_key())),
            ("PS256", RSA, Key("RS256", RSA.public_key())),
        ):
            token = jwt.PyJWS().encode(json.dumps(good()).encode(), material, algorithm)
            self.assertEqual(self.refusal(token, checking), NOT_OURS)

    def test_changed(self) -> None:
        """
        A token whose parts were changed or exchanged is refused.
        """
        head, claims, signature = signed(good()).split(".")
        other = encoded(good(sub="bob"))
        for wrong in (
            f"{head}.{other}.{signature}",
            f"{head}.{claims}.",
            f"{head}.{claims}",
            f"{head}.{claims}.{signature[:-4]}",
            f"{head}.{claims}.{signature}.{signature}",
            f"{encoded({'alg': 'HS256', 'kid': 'x'})}.{claims}.{signature}",
            signed(good(), OTHER),
            "",
            ".",
            "..",
            "a token",
        ):
            self.assertEqual(self.refusal(wrong), NOT_OURS)

    def test_embedded_keys(self) -> None:
        """
        A key that comes with the token, or the address of one, is not looked at.
        """
        header = {"jwk": {"kty": "oct", "k": encoded(OTHER.material)}, "jku": "http://127.0.0.1/", "kid": "../../x"}
        self.assertEqual(self.refusal(signed(good(), OTHER, **header)), NOT_OURS)

    def test_extensions(self) -> None:
        """
        A token that says that something else must be understood is refused, also when it is signed.
        """
        self.assertEqual(self.refusal(signed(good(), crit=["x"], x=1)), NOT_OURS)
        self.assertEqual(self.refusal(signed(good(), b64=False)), NOT_OURS)

    def test_not_claims(self) -> None:
        """
        What is signed and is no object of JSON is refused.
        """
        for content in (b"", b"{", b"[]", b"1", b"null", b"\xff", b"[" * 3000, b'"' + b"x" * 100 + b'"'):
            self.assertEqual(self.refusal(signed(content)), NOT_OURS)

    def test_long(self) -> None:
        """
        What is longer than a token can be is not decoded.
        """
        token = signed(good(x="x" * 5000))
        self.assertLess(len(token), MAX_TOKEN)
        check_token(token, KEY, NOW)
        self.assertEqual(self.refusal(signed(good(x="x" * 7000))), NOT_OURS)

    def test_deep(self) -> None:
        """
        A header of nothing but brackets does not exhaust the stack.
        """
        self.assertEqual(self.refusal(f"{encoded(b'[' * 5000)}.{encoded(good())}.x"), NOT_OURS)

    @settings(reproducible, max_examples=100)
    @given(st.one_of(st.text(), st.text('abAB01-_.=\n{}"é', max_size=60)))
    def test_anything(self, token: str) -> None:
        """
        Anything that is not one is refused in the same words.
        """
        self.assertEqual(self.refusal(token), NOT_OURS)

    @settings(reproducible, max_examples=100)
    @given(st.data())
    def test_one_bit(self, data: st.DataObject) -> None:
        """
        A token with any one bit changed is refused.
        """
        token = signed(good())
        parts = [bytearray(urlsafe_b64decode(part + "==")) for part in token.split(".")]
        part = parts[data.draw(st.integers(0, 2))]
        part[data.draw(st.integers(0, len(part) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        self.assertEqual(self.refusal(".".join(encoded(bytes(part)) for part in parts)), NOT_OURS)

    @settings(reproducible, max_examples=100)
    @given(
        st.dictionaries(
            st.sampled_from(["sub", "exp", "nbf", "aud", "topics"]),
            st.recursive(
                st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("alice")),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["read", "x"]), inner),
                max_leaves=5,
            ),
        )
    )
    @example({"sub": "alice", "exp": NOW + 1})
    def test_any_claims(self, claims: dict[str, Any]) -> None:
        """
        Whatever was signed, the answer is a token with a name and an end that is still to come, or a refusal.
        """
        try:
            token = check_token(signed(claims), KEY, NOW)
        except TokenRefused:
            return
        self.assertGreater(token.expires, NOW)
        self.assertEqual(token.name, claims["sub"])


class MakingTests(SynchronousTestCase):
    """
    Tokens that we make.
    """

    def test_claims(self) -> None:
        """
        A token has what others need to read it, and nothing more.
        """
        made = make_token(KEY, Token("alice", NOW + 60.7, Grants(read=TopicSet.parse(["b", "a.*"]))), NOW)
        self.assertEqual(
            jwt.decode(made, KEY.material, ["HS256"], {"verify_exp": False}),
            {
                "sub": "alice",
                "iat": NOW,
                "exp": NOW + 60,
                "topics": {"read": ["a.*", "b"], "publish": [], "administer": []},
            },
        )
        self.assertNotIn(
            "topics", jwt.decode(make_token(KEY, Token("a", NOW), NOW), options={"verify_signature": False})
        )


class ServerTests(SynchronousTestCase):
    """
    What the server has, with the key in a file.
    """

    def test_check(self) -> None:
        """
        Tokens by the file's key are good.
        """
        tokens = Tokens(write_file(self, public_key(ED25519), 0o644))
        made = make_token(Key("EdDSA", ED25519), Token("alice", NOW + 60), NOW)
        self.assertEqual(tokens.check(made, NOW), Token("alice", NOW + 60))

    def test_reload(self) -> None:
        """
        After a new key was read, tokens by the one before are refused; a broken one changes nothing, and is told.
        """
        path = write_file(self, SHARED)
        tokens = Tokens(path)
        old, new = (make_token(key, Token("alice", NOW + 60), NOW) for key in (KEY, OTHER))
        Path(path).write_bytes(private_pem(RSA))
        self.assertIn("private key", str(self.assertRaises(FileRefused, tokens.reload)))
        tokens.check(old, NOW)
        Path(path).write_bytes(OTHER.material)
        tokens.check(old, NOW)
        tokens.reload()
        tokens.check(new, NOW)
        self.assertRaises(TokenRefused, tokens.check, old, NOW)
