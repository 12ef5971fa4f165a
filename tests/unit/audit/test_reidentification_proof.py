"""The proof of re-identifications from a log alone: it holds for what happened, and fails for every change of it."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from fido2 import cbor
from fido2.cose import ES256, RS256, EdDSA
from webauthn import verify_authentication_response

from consent_gateway.audit.chain import unchained
from consent_gateway.audit.entry import Entry, spread
from consent_gateway.audit.reidentification_proof import Proof, prove
from consent_gateway.officers.passkeys import Assertion, Passkey
from consent_gateway.officers.registry import officer_entry
from consent_gateway.policy.reidentification import Alone, Terms
from consent_gateway.reidentification.canonical import (
    Ask,
    AskedToken,
    approved_entry,
    asked_entry,
    canonical_request,
    challenge_of,
    later_entry,
)

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ORIGIN = "https://gateway.example"
RP_ID = "gateway.example"
SALT = b"s" * 32
TERMS = Terms(NOON.date(), "a law", "privacy_desk", 15, 1440, 10, 20, (Alone("customer_support", ("company",)),))
ADA, GRACE = "ofc_01jd8000000000000000000ada", "ofc_01jd800000000000000000grac"
ALGORITHMS = ("ES256", "EdDSA", "RS256")


def b64(raw: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Key:
    """A passkey of one algorithm."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.private: Any
        if algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
            cose: Any = ES256.from_cryptography_key(self.private.public_key())
        elif algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
            cose = EdDSA.from_cryptography_key(self.private.public_key())
        else:
            self.private = rsa.generate_private_key(65537, 2048)
            cose = RS256.from_cryptography_key(self.private.public_key())
        self.public = cbor.encode(dict(cose))
        self.credential_id = hashlib.sha256(self.public).digest()
        self.credential_hash = hashlib.sha256(self.credential_id).hexdigest()

    def sign(self, message: bytes) -> bytes:
        """A signature in the algorithm's WebAuthn form."""
        if self.algorithm == "ES256":
            return bytes(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        if self.algorithm == "EdDSA":
            return bytes(self.private.sign(message))
        return bytes(self.private.sign(message, padding.PKCS1v15(), hashes.SHA256()))


@dataclass
class Story:
    """A log of one re-identification, whose parts a test makes different."""

    key: Key
    purpose: str = "order_fulfilment"
    requester: str = ADA
    approver: str = GRACE
    roles: dict[str, str] = field(default_factory=lambda: {ADA: "reidentify", GRACE: "approve_reidentification"})
    tokens: int = 2
    flags: int = 0x05
    origin: str = ORIGIN
    rp_id: str = RP_ID
    count: int = 7
    at: datetime = NOON
    signed: bytes | None = None  # the challenge that was signed, where it is not the request's

    def officers(self) -> list[Entry]:
        """Who they are, and the approver's passkey."""
        added = [officer_entry("add", one, NOON, roles=roles) for one, roles in self.roles.items()]
        return [*added, self.enrolled()]

    def enrolled(self) -> Entry:
        """The approver's passkey."""
        return officer_entry(
            "enrol",
            self.approver,
            NOON,
            credential_sha256=self.key.credential_hash,
            public_key_sha256=hashlib.sha256(self.key.public).hexdigest(),
            rp_id=RP_ID,
            origin=ORIGIN,
            **spread("public_key", b64(self.key.public)),
        )

    def request(self) -> str:
        """The canonical request."""
        tokens = tuple(AskedToken(f"ps1.k7q2.{at}") for at in range(self.tokens))
        ask = Ask(tokens, self.purpose, "company", "fraud_investigation", "why", "case-1")
        named = {"request_id": "rid_01jd80000000000000000000ad", "requester": self.requester, "now": self.at}
        return canonical_request(ask, TERMS, revision="0123456789abcdef", salt=SALT, **named)  # type: ignore[arg-type]

    def assertion(self) -> tuple[bytes, bytes, bytes]:
        """Authenticator data, client data and signature."""
        said = {
            "type": "webauthn.get",
            "challenge": b64(self.signed or challenge_of(self.request())),
            "origin": self.origin,
        }
        client = json.dumps(said).encode()
        data = hashlib.sha256(self.rp_id.encode()).digest() + bytes([self.flags]) + self.count.to_bytes(4)
        return data, client, self.key.sign(data + hashlib.sha256(client).digest())

    def approved(self, minutes: float = 1) -> Entry:
        """The approval."""
        data, client, signature = self.assertion()
        passkey = Passkey(self.key.credential_hash, self.approver, self.key.credential_id, self.key.public, 0)
        made = Assertion(passkey, self.count, data, client, signature)
        at = self.at + timedelta(minutes=minutes)
        return approved_entry(self.request(), self.approver, made, at)

    def later(self, action: str, minutes: float = 2, outcome: str | None = None, **detail: str) -> Entry:
        """A deed of the requester after the request."""
        return later_entry(
            action, self.request(), self.requester, self.at + timedelta(minutes=minutes), outcome, **detail
        )

    def revealed(self, minutes: float = 2) -> Entry:
        """The reveal."""
        return self.later("reveal", minutes, "told", result_sha256="ab" * 32, tokens=str(self.tokens))

    def told(self) -> list[Entry]:
        """Everything, in order."""
        asked = asked_entry(self.request(), self.at)
        return [*self.officers(), asked, self.approved(), self.later("decide"), self.revealed()]


def leaves(entries: list[Entry]) -> list[bytes]:
    """The entries as the log holds them."""
    return [unchained(entry.canonical()) for entry in entries]


def proof(entries: list[Entry]) -> Proof:
    """The proof over these entries."""
    return prove(leaves(entries), ORIGIN)


@pytest.fixture(scope="module", params=ALGORITHMS)
def key(request: pytest.FixtureRequest) -> Key:
    """A passkey of each algorithm."""
    return Key(request.param)


@pytest.fixture(scope="module")
def es256() -> Key:
    """A passkey of the usual algorithm."""
    return Key("ES256")


def test_what_happened_verifies_and_the_library_agrees(key: Key) -> None:
    """The proof holds for each algorithm, and py_webauthn, which shares no code with it, accepts the same assertion."""
    story = Story(key)
    done = proof(story.told())
    assert done.findings == []
    assert (done.requests, done.approvals, done.alone, done.reveals) == (1, 1, 0, 1)
    assert done.keys == {key.credential_hash: [GRACE, hashlib.sha256(key.public).hexdigest()]}
    data, client, signature = map(b64, story.assertion())
    response = {"authenticatorData": data, "clientDataJSON": client, "signature": signature}
    named = b64(key.credential_id)
    verified = verify_authentication_response(
        credential={"id": named, "rawId": named, "type": "public-key", "response": response},
        expected_challenge=challenge_of(story.request()),
        expected_rp_id=RP_ID,
        expected_origin=ORIGIN,
        credential_public_key=key.public,
        credential_current_sign_count=6,
        require_user_verification=True,
    )
    assert verified.new_sign_count == 7


def changes(text: bytes) -> Iterator[bytes]:
    """The text with each of its bytes changed in turn: a letter or digit to another, anything else to a letter."""
    for at, byte in enumerate(text):
        other = {ord("a"): "b", ord("0"): "1", ord("A"): "B"}.get(byte, "a" if chr(byte).isalpha() else "0")
        yield text[:at] + other.encode() + text[at + 1 :]


SIGNED = {  # members whose every byte the proof must miss: what the request says, what was signed, and by which key
    2: "public_key_1 public_key_sha256 credential_sha256 officer rp_id origin",
    3: "alone case_id format grant_minutes most_tokens reason requester text_sha256 request_sha256 token_001 token_002 "
    "at id purpose recipient revision",
    4: "officer credential_sha256 authenticator_data_1 client_data_1 signature_1 request_sha256 reference",
    6: "officer request_sha256 reference tokens",
}


def test_any_byte_changed_in_a_resealed_log_is_found(key: Key) -> None:
    """Each byte of each member that was signed, or that says who signed, is changed in turn: the proof fails each time.

    The names of members and the words of kind and action count as well. Out of reach are the times of approval and
    reveal within the grant's life and the result's hash, which no officer signs: for these the log's checkpoints stand.
    """
    entries = [json.loads(leaf) for leaf in leaves(Story(key).told())]
    whole = [json.dumps(entry).encode() for entry in entries]
    assert prove(whole, ORIGIN).ok
    tried = 0
    for index, names in SIGNED.items():
        for name in names.split():
            pair = _pair(entries[index]["entry"], name)
            assert whole[index].count(pair) == 1, name
            for changed in changes(pair):
                tampered = [*whole[:index], whole[index].replace(pair, changed), *whole[index + 1 :]]
                assert not prove(tampered, ORIGIN).ok, (name, changed)
                tried += 1
    assert tried > 1500


def _pair(entry: dict[str, Any], name: str) -> bytes:
    value = entry["detail"].get(name, entry.get(name))
    return json.dumps({name: value})[1:-1].encode()


@pytest.mark.parametrize("index", range(7))
@pytest.mark.parametrize("name", ["action", "kind"])
def test_an_entry_that_is_called_something_else_is_found(es256: Key, index: int, name: str) -> None:
    """No entry hides by a changed kind or action; an officer's first entry is missed by those that need it."""
    entries = [json.loads(leaf) for leaf in leaves(Story(es256).told())]
    entries[index]["entry"][name] = "client" if name == "kind" else "other"
    found = prove([json.dumps(entry).encode() for entry in entries], ORIGIN).findings
    hidden = name == "kind" and index == 5  # that a person was decided about is told by the log, not by the signature
    assert bool(found) != hidden


Change = Callable[[Story], list[Entry]]


def _revoked(story: Story, at: int) -> list[Entry]:
    told = story.told()
    named = story.approver if at < 5 else story.requester
    return [*told[:at], officer_entry("revoke", named, NOON), *told[at:]]


WRONG: dict[str, tuple[str, Change]] = {
    "no approval": ("there is no approval", lambda s: [*s.told()[:4], *s.told()[5:]]),
    "no request": ("refers to no request", lambda s: [*s.told()[:3], *s.told()[4:]]),
    "approval after": ("there is no approval", lambda s: [*s.told()[:4], *s.told()[5:], s.told()[4]]),
    "told twice": ("used twice", lambda s: [*s.told(), s.revealed(3)]),
    "told too late": ("outside the life", lambda s: [*s.told()[:5], s.revealed(16.1)]),
    "told before": ("outside the life", lambda s: [*s.told()[:5], s.revealed(0.5)]),
    "denied": ("was denied", lambda s: [*s.told()[:5], s.later("deny"), s.revealed()]),
    "no reveal": ("no reveal follows", lambda s: s.told()[:6]),
    "too many people": ("more people", lambda s: [*s.told()[:5], *[s.later("decide")] * 3, s.revealed()]),
    "approver revoked": ("was revoked", lambda s: _revoked(s, 4)),
    "requester revoked": ("was revoked", lambda s: _revoked(s, 5)),
    "request twice": ("made twice", lambda s: [*s.told()[:4], *s.told()[3:]]),
    "enrolled twice": ("registered twice", lambda s: [*s.told()[:3], s.enrolled(), *s.told()[3:]]),
    "added twice": ("added twice", lambda s: [s.told()[0], *s.told()]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_must_not_happen_is_found(es256: Key, name: str) -> None:
    """Each order of events that the gateway never makes is named, though every entry by itself is well-formed."""
    message, change = WRONG[name]
    found = [one.message for one in proof(change(Story(es256))).findings]
    assert any(message in one for one in found), found


@pytest.mark.parametrize(
    ("message", "different"),
    [
        ("requester approves", {"approver": ADA, "roles": {ADA: "approve_reidentification reidentify"}}),
        ("requester approves", {"purpose": "customer_support"}),
        ("does not hold the role", {"roles": {ADA: "reidentify", GRACE: "auditor"}}),
        ("does not hold the role", {"roles": {ADA: "auditor", GRACE: "approve_reidentification"}}),
        ("role that there is not", {"roles": {ADA: "reidentify", GRACE: "approver"}}),
        ("more tokens than", {"tokens": 11}),
        ("another request was signed", {"signed": b"x" * 32}),
        ("nobody was present", {"flags": 0x04}),
        ("was not verified", {"flags": 0x01}),
        ("another origin", {"origin": "https://elsewhere.example"}),
        ("another relying party", {"rp_id": "elsewhere.example"}),
    ],
)
def test_a_wrong_party_or_a_weak_signature_is_found(es256: Key, message: str, different: dict[str, Any]) -> None:
    """An own approval, a role not held, too many tokens, a missing flag, another origin or party: each is named."""
    found = [one.message for one in proof(Story(es256, **different).told()).findings]
    assert any(message in one for one in found), found


def test_one_person_alone_is_proved_and_counted(es256: Key) -> None:
    """Where the signed request says that one is enough, the requester's own signature is, and the proof counts it."""
    alone = Story(es256, "customer_support", approver=ADA, roles={ADA: "reidentify"})
    done = proof(alone.told())
    assert (done.findings, done.alone) == ([], 1)


def test_a_count_that_does_not_grow_is_found(es256: Key) -> None:
    """A second approval by the same passkey with the same count says that it was copied."""
    first, second = Story(es256), Story(es256, at=NOON + timedelta(hours=1))
    request = second.request().replace("rid_01jd80000000000000000000ad", "rid_01jd80000000000000000000ae")
    object.__setattr__(second, "request", lambda: request)
    again = [asked_entry(request, second.at), second.approved(), second.later("decide"), second.revealed()]
    assert any("count" in one.message for one in proof([*first.told(), *again]).findings)


def test_a_key_of_another_kind_is_refused(es256: Key) -> None:
    """A COSE key that is none of the three kinds, or not CBOR at all, is a finding, never a crash."""
    for raw in (b"", b"\xa1\x01\x02", b"\xff", b"\xa5" + b"\x01" * 40, cbor.encode({1: 2, 3: -7, -1: 2})):
        story = Story(es256)
        story.key = Key("ES256")
        story.key.public = raw
        assert not proof([*story.officers()]).ok
