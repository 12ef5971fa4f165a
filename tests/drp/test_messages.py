"""Signed messages: the protocol's checks in the protocol's order, and that nothing that was changed passes."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.drp.exercise import ACTIONS, exercise_of
from consent_gateway.drp.messages import LONGEST_WINDOW, MOST_BYTES, Message, for_us, names_its_parties, opened
from consent_gateway.errors import CallerNotPermitted, GatewayError, InputRefused
from tests.drp.world import CALLBACK, KEYS, US, agent_of, body_of, envelope

NOW = datetime(2027, 3, 5, 12, tzinfo=UTC)
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
GOOD = agent_of("GOOD")


def read(body: bytes, now: datetime = NOW) -> Message:
    """What a body says to us now."""
    return for_us(opened(body, GOOD), GOOD, US, now)


def refused(body: bytes, now: datetime = NOW) -> GatewayError:
    """How a body is refused."""
    with pytest.raises((InputRefused, CallerNotPermitted)) as caught:
        read(body, now)
    return caught.value  # type: ignore[no-any-return]


def test_a_message_that_stands_is_read() -> None:
    """Its claims are those that were signed, and it says until when it is good."""
    message = envelope(NOW, extra={"kept": "nowhere"})
    read_ = read(body_of(message))
    assert read_.claims == message
    assert read_.expires_at == NOW + timedelta(minutes=10)
    assert read(body_of(message) + b"\n") == read_


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        (lambda body: body[:-1], "base64"),
        (lambda body: body[:41], "base64"),
        (lambda body: body[: 4 * 21], "too short"),
        (lambda _body: base64.b64encode(bytes(64)), "too short"),
        (lambda _body: b"", "too short"),
        (lambda body: body[:40] + b"\n" + body[40:], "base64"),
        (lambda body: b" " + body, "base64"),
        (lambda body: body.replace(b"=", b""), "base64"),
        (lambda body: base64.urlsafe_b64encode(b"\xfb\xff" + base64.b64decode(body)), "base64"),
        (base64.b64decode, "base64"),
        (lambda body: base64.b64decode(body).hex().encode(), "signature"),
        (lambda _body: b"{}", "base64"),
        (lambda _body: base64.b64encode(bytes(MOST_BYTES)), "base64"),
    ],
)
def test_what_is_not_base64_of_a_signature_and_a_message_is_refused(spoilt: Any, told: str) -> None:
    """Cut off, folded, without its padding, of another alphabet, hexadecimal, not encoded at all or too long."""
    body = body_of(envelope(NOW, **{"agent-request-id": "xx"}))
    assert b"=" in body
    assert told in refused(spoilt(body)).message


def test_one_text_alone_stands_for_a_message() -> None:
    """The bits of the last letter that say nothing must be zero: no second text is taken for the same message."""
    message = next(
        body for n in range(3) if (body := body_of(envelope(NOW, pad="x" * n))).endswith(b"=") and body[-2:] != b"=="
    )
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = message[:-2] + bytes([letters[letters.index(message[-2]) + 1]]) + b"="
    assert base64.b64decode(other) == base64.b64decode(message)
    read(message)
    assert "base64" in refused(other).message


@given(data=st.data())
def test_no_bit_of_a_signed_body_can_change(data: st.DataObject) -> None:
    """Whichever bit is flipped, of the text or of what it encodes, the message is refused."""
    pad = data.draw(st.text(max_size=12))
    body = body_of(envelope(NOW, pad=pad))
    read(body)
    if data.draw(st.booleans()):
        raw = bytearray(base64.b64decode(body))
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        changed = base64.b64encode(bytes(raw))
    else:
        text = bytearray(body)
        text[data.draw(st.integers(0, len(text) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        changed = bytes(text)
    with pytest.raises((InputRefused, CallerNotPermitted)):
        read(changed)


def test_a_signature_has_one_form() -> None:
    """A signature whose scalar has the group's order added verifies nowhere: nobody can make two of one."""
    raw = bytearray(base64.b64decode(body_of(envelope(NOW))))
    scalar = int.from_bytes(raw[32:64], "little") + GROUP_ORDER
    assert scalar < 2**256
    raw[32:64] = scalar.to_bytes(32, "little")
    assert "signature" in refused(base64.b64encode(bytes(raw))).message


def test_another_agents_signature_is_none() -> None:
    """Neither with its own id in it nor with ours; the text of the error tells nothing of the message."""
    for agent_id in KEYS:
        wrong = refused(body_of(envelope(NOW, **{"agent-id": agent_id, "email": "ada@example.com"}), KEYS["OTHER"]))
        assert isinstance(wrong, CallerNotPermitted)
        assert "signature" in wrong.message
        assert "ada" not in wrong.message


FAULTS: list[tuple[str, Any, type[GatewayError], str]] = [
    ("agent-id", "OTHER", CallerNotPermitted, "`agent-id`"),
    ("business-id", "SOMEBODY_ELSE", CallerNotPermitted, "`business-id`"),
    ("issued-at", (NOW + timedelta(seconds=1)).isoformat(), InputRefused, "future"),
    ("expires-at", (NOW - timedelta(seconds=1)).isoformat(), InputRefused, "expired"),
]
"""What can be wrong with a signed message, in the order of 3.07."""


@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_the_checks_come_in_the_order_of_the_protocol(first: int) -> None:
    """Of several faults the first of 3.07 is told; and before them all the signature, before that the encoding."""
    spoilt = {name: value for name, value, _kind, _told in FAULTS[first:]}
    body = body_of(envelope(NOW, **spoilt))
    wrong = refused(body)
    assert isinstance(wrong, FAULTS[first][2])
    assert FAULTS[first][3] in wrong.message
    assert "signature" in refused(body_of(envelope(NOW, **spoilt), KEYS["OTHER"])).message
    assert "base64" in refused(body_of(envelope(NOW, **spoilt), KEYS["OTHER"])[:-1]).message


@pytest.mark.parametrize("missing", ["agent-id", "business-id", "issued-at", "expires-at"])
def test_what_must_be_said_must_be_said(missing: str) -> None:
    """Left out, null, a number or a list: each is refused."""
    for value in (None, 7, ["GOOD"], {}, ""):
        refused(body_of(envelope(NOW, **{missing: value})))


def test_the_moments_are_strict() -> None:
    """After `issued-at` and before `expires-at`, not at them; a window has a longest; a moment has its offset."""
    at = {"issued-at": NOW.isoformat(), "expires-at": (NOW + timedelta(minutes=1)).isoformat()}
    body = body_of(envelope(NOW, **at))
    assert "future" in refused(body, NOW).message
    read(body, NOW + timedelta(microseconds=1))
    read(body, NOW + timedelta(minutes=1) - timedelta(microseconds=1))
    assert "expired" in refused(body, NOW + timedelta(minutes=1)).message
    begun = NOW - timedelta(seconds=1)
    longest = {"issued-at": begun.isoformat(), "expires-at": (begun + LONGEST_WINDOW).isoformat()}
    read(body_of(envelope(NOW, **longest)))
    longer = {**longest, "expires-at": (begun + LONGEST_WINDOW + timedelta(seconds=1)).isoformat()}
    assert "longer than 15 minutes" in refused(body_of(envelope(NOW, **longer))).message
    for moment in ("2027-03-05T11:59:59", "yesterday", "2027-03-05", "0001-01-01T00:00:00+23:00", "9" * 5000):
        assert "no moment" in refused(body_of(envelope(NOW, **{"issued-at": moment}))).message
    read(body_of(envelope(NOW, **{"issued-at": "2027-03-05T12:59:59+01:00"})))
    read(body_of(envelope(NOW, **{"issued-at": "2027-03-05T11:59:59.5Z"})))


@pytest.mark.parametrize(
    "text",
    [
        b"not json",
        b"[]",
        b'"text"',
        b'{"agent-id": "GOOD", "agent-id": "OTHER"}',
        b'{"reason": NaN}',
        b'{"reason": "\\ud800"}',
        b'\xff\xfe{"agent-id": "GOOD"}',
        b'{"a": ' + b"[" * 9 + b"]" * 9 + b"}",
        b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text: bytes) -> None:
    """No object, a member twice, no number, half a character, no UTF-8, nested beyond reason."""
    with pytest.raises(InputRefused):
        opened(body_of(text), GOOD)


def test_versions_that_speak_alike_are_taken_and_others_told() -> None:
    """The set-up of older agents names none; a request must."""
    for version in ("1.0", "0.9.4", "0.9.3", None):
        read(body_of(envelope(NOW, **{"drp.version": version})))
    for version in ("0.5", 1.0, ["1.0"]):
        assert "version" in refused(body_of(envelope(NOW, **{"drp.version": version}))).message


def asked(**claims: Any) -> Any:
    """What the claims ask for."""
    given_ = envelope(NOW, **{"exercise": "deletion", "email": "ada@example.com", **claims})
    return exercise_of(Message(given_, "d" * 64), GOOD)


def test_each_action_is_a_right_of_ours_in_either_spelling() -> None:
    """2.01 writes `sale:opt-out` and 3.01 `sale:opt_out`: both are read."""
    rights = {"opt_out_sale_share", "delete", "access", "know"}
    assert {asked(exercise=action).right for action in ACTIONS} == rights
    assert asked(exercise="sale:opt_out") == asked(exercise="sale:opt-out")


@pytest.mark.parametrize("action", ["sale:opt-in", "sale:opt_in"])
def test_an_opt_in_is_the_consumers_own(action: str) -> None:
    """No agent gives it: the law asks for two steps, and the page takes them (11 CCR 7028(a))."""
    with pytest.raises(InputRefused, match="two steps of the consumer's own"):
        asked(exercise=action)


@pytest.mark.parametrize(
    ("claims", "pointer"),
    [
        ({"exercise": "portability"}, "/exercise"),
        ({"exercise": None}, "/exercise"),
        ({"exercise": ["deletion"]}, "/exercise"),
        ({"regime": "gdpr"}, "/regime"),
        ({"regime": {"a": 1}}, "/regime"),
        ({"email": None}, "/email"),
        ({"email": 7}, "/email"),
        ({"email": "a" * 513}, "/email"),
        ({"phone_number": []}, "/phone_number"),
        ({"relationships": "customer"}, "/relationships"),
        ({"relationships": [1]}, "/relationships"),
        ({"relationships": ["x"] * 21}, "/relationships"),
        ({"agent-request-id": "ada@example.com"}, "/agent-request-id"),
        ({"agent-request-id": "x" * 129}, "/agent-request-id"),
        ({"status_callback": "http://agent.example.com/x"}, "/status_callback"),
        ({"status_callback": "https://elsewhere.example.com/x"}, "/status_callback"),
        ({"status_callback": "https://agent.example.com@10.0.0.1/x"}, "/status_callback"),
        ({"status_callback": "https://169.254.169.254/latest"}, "/status_callback"),
        ({"drp.version": None}, "/drp.version"),
    ],
)
def test_claims_that_do_not_stand_are_told_by_name_alone(claims: dict[str, Any], pointer: str) -> None:
    """The fault points at the claim and quotes nothing of it."""
    with pytest.raises(InputRefused) as caught:
        asked(**claims)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]
    assert "ada" not in caught.value.message


NAMES = (
    "agent-id", "business-id", "issued-at", "expires-at", "drp.version", "agent-request-id", "exercise", "regime",
    "relationships", "status_callback", "name", "email", "email_verified", "phone_number", "address",
    "power_of_attorney", "reason",
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(claims=st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=6))
def test_whatever_is_signed_is_read_or_refused(claims: dict[str, Any]) -> None:
    """No claim, of whatever type, makes anything fail in another way."""
    stands, told = envelope(NOW, exercise="deletion", email="ada@example.com"), ""
    try:
        message = read(body_of({**stands, **claims}))
        assert exercise_of(message, GOOD).right in ACTIONS.values()
    except (InputRefused, CallerNotPermitted) as error:
        told = error.message
    assert "ada@" not in told


def test_what_the_protocol_does_not_know_is_passed_over() -> None:
    """Custom claims are allowed (3.04), change nothing and are kept nowhere."""
    plain, more = asked(), asked(iss="x", favourite_colour="mauve-canary", email_verified="yes")
    assert plain == more
    assert "verified" not in str(more.text)


def test_officers_are_told_what_else_the_agent_said() -> None:
    """Name, address, what the agent verified, and hints; nobody else is, and nothing shows it by chance."""
    full = asked(
        name="Ada Lovelace",
        email_verified=True,
        phone_number="+14155550100",
        phone_number_verified=False,
        address={"street_address": "1 Main St", "locality": "Fresno", "region": "CA", "x": 7},
        relationships=["customer", "marketing"],
        status_callback=CALLBACK,
    )
    assert full.text == (
        "From Good agent\nname: Ada Lovelace\nemail: ada@example.com (verified by the agent)\n"
        "phone_number: +14155550100\naddress: 1 Main St, Fresno, CA\nrelationships: customer, marketing"
    )
    assert [(one.kind, one.value) for one in (full.person, *full.also)] == [
        ("email", "ada@example.com"),
        ("phone", "+14155550100"),
    ]
    assert "Ada" not in repr(full)
    assert len(asked(name="x" * 512, address="y" * 512, power_of_attorney="z" * 512, email="e" * 512).text) <= 2000


def test_the_permission_is_what_the_person_signed_or_the_signed_message() -> None:
    """A reference that the agent sends is kept as it is; without one the message itself is named, by its digest."""
    assert asked(power_of_attorney="poa/2027/17").permission == "poa/2027/17"
    for none in ({}, {"power_of_attorney": "signed by Ada, ada@example.com"}):
        assert asked(**none).permission == f"drp:GOOD:{'d' * 64}"


def test_only_a_message_to_revoke_may_name_no_parties() -> None:
    """As soon as one member of the envelope is there, the message is held to all of them."""
    assert not names_its_parties(opened(body_of({"reason": "x"}), GOOD))
    for name in ("agent-id", "business-id", "issued-at", "expires-at"):
        assert names_its_parties(opened(body_of({name: json.loads("null")}), GOOD))
