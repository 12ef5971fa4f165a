"""Entries: what they become, and what is refused before anything is done."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.audit.chain import NO_PREVIOUS, Position, WriterChain, opened, unchained
from consent_gateway.audit.entry import MAX_ENTRY_BYTES, Entry, EntryKind
from consent_gateway.errors import InputRefused

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def entry(**members: object) -> Entry:
    """An entry with these members."""
    given: dict[str, object] = {"entry_id": "dec_1", "kind": EntryKind.DECISION, "at": NOON}
    return Entry(**(given | members))  # type: ignore[arg-type]


def test_an_entry_has_one_written_form() -> None:
    """Members stand sorted, absent ones are left out, and the time is UTC with six digits."""
    made = entry(
        caller="web-shop",
        fields={"phone": ("withhold", "no_consent", "eea.consent"), "email": ("allow", "contract", "eea.contract")},
        facts=("granted",),
        detail={"how": "web_form"},
        outcome="answered",
    )
    assert made.canonical() == (
        b'{"at":"2026-11-22T12:00:00.000000Z","caller":"web-shop","detail":{"how":"web_form"},"facts":["granted"],'
        b'"fields":{"email":["allow","contract","eea.contract"],"phone":["withhold","no_consent","eea.consent"]},'
        b'"id":"dec_1","kind":"decision","outcome":"answered"}'
    )


def test_times_of_other_zones_are_written_in_utc() -> None:
    """The same moment has the same text, whatever zone it came in."""
    elsewhere = NOON.astimezone(timezone(timedelta(hours=-5)))
    assert entry(at=elsewhere).canonical() == entry().canonical()


@pytest.mark.parametrize(
    "members",
    [
        {"purpose": "line\nbreak"},
        {"purpose": "nul\x00"},
        {"purpose": "\x7f"},
        {"purpose": "\x85"},
        {"purpose": "\u2028"},
        {"purpose": "\u202eright to left"},
        {"purpose": "\ufeffmark"},
        {"purpose": "lone \ud800"},
        {"purpose": "\U0001f600"},
        {"fields": {"lone \udfff": ("allow", "contract", "r")}},
        {"fields": {"tab\t": ("allow", "contract", "r")}},
        {"entry_id": ""},
        {"entry_id": "x" * 33},
        {"data_subject": "person@example.com"},
        {"reference": "two words"},
        {"at": datetime(2026, 1, 1)},  # noqa: DTZ001 - the fault under test
        {"caller": "c" * 129},
        {"detail": {"how": "x" * 257}},
        {"detail": {"Not a key": "x"}},
    ],
    ids=repr,
)
def test_what_cannot_be_logged_is_refused(members: dict[str, object]) -> None:
    """Control characters, lone surrogates, over-long and misplaced words are refused, naming no value."""
    with pytest.raises(InputRefused) as refused:
        entry(**members).canonical()
    assert "person" not in refused.value.message


def test_an_entry_past_the_bound_is_refused_and_one_within_is_not() -> None:
    """The bound of an entry is exact, and a leaf stays within the 65,535 bytes of a C2SP bundle."""
    frame = len(entry(outcome="x").canonical()) - 1
    longest = entry(outcome="x" * (MAX_ENTRY_BYTES - frame)).canonical()
    assert len(longest) == MAX_ENTRY_BYTES
    chain = WriterChain("wrt_" + "0" * 26)
    chain.position = Position(10**15, "f" * 64)
    assert len(chain.extend([longest])[0]) <= 65_535
    with pytest.raises(InputRefused):
        entry(outcome="x" * (MAX_ENTRY_BYTES - frame + 1)).canonical()


@given(st.text(), st.text())
def test_whatever_is_accepted_is_read_back_exactly(purpose: str, field: str) -> None:
    """For any text an entry is either refused or read back from its canonical form, letter by letter."""
    try:
        body = entry(purpose=purpose, fields={field: ("allow", "contract", "r")}).canonical()
    except InputRefused:
        return
    read = json.loads(body)
    assert read.get("purpose", "") == purpose
    assert list(read["fields"]) == [field]
    assert json.dumps(read, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() == body


def test_quotes_and_backslashes_are_loggable() -> None:
    """Letters that JSON escapes but that print are no reason to refuse."""
    assert json.loads(entry(purpose='a "b" \\ \\n c').canonical())["purpose"] == 'a "b" \\ \\n c'


def test_a_chain_numbers_and_links_its_leaves() -> None:
    """Leaves carry writer, dense numbers and the hash of the leaf before; the entry is read back unchanged."""
    chain = WriterChain("wrt_1")
    first, second = chain.extend([entry().canonical(), entry(entry_id="dec_2").canonical()])
    (third,) = chain.extend([entry(entry_id="dec_3").canonical()])
    envelopes = [json.loads(leaf) for leaf in (first, second, third)]
    assert [one["seq"] for one in envelopes] == [1, 2, 3]
    assert envelopes[0]["prev"] == NO_PREVIOUS
    assert [one["prev"] for one in envelopes[1:]] == [hashlib.sha256(leaf).hexdigest() for leaf in (first, second)]
    assert opened(third) == json.loads(entry(entry_id="dec_3").canonical())
    for leaf in (first, unchained(entry().canonical())):
        assert json.dumps(json.loads(leaf), sort_keys=True, separators=(",", ":")).encode() == leaf


def test_a_chain_can_be_set_back() -> None:
    """After its position is set back a chain gives the same numbers again."""
    chain = WriterChain("wrt_1")
    before = chain.position
    first = chain.extend([entry().canonical()])
    chain.position = before
    assert chain.extend([entry().canonical()]) == first


@pytest.mark.parametrize("leaf", [b"", b"[]", b"{}", b'{"entry":1}', b"\xff"])
def test_what_is_not_a_leaf_is_told(leaf: bytes) -> None:
    """Reading an entry out of something else raises ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - the class is the contract
        opened(leaf)
