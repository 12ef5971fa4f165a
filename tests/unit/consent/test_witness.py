"""What shows a spoken or a paper yes: whole, well-formed, kept in one reference and read back the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.consent.choices import Choices, NewChoice
from consent_gateway.consent.witness import Witness, read_witness
from consent_gateway.errors import InputRefused
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import Caller, EventKind
from tests.conftest import NOON

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,23}", fullmatch=True)
OWN = st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/#=+-]{0,47}", fullmatch=True)
HEARD = Witness("agent-7", "script-3")
SCANNED = Witness(image_sha256="0f" * 32)


@given(NAMES, NAMES, OWN)
def test_who_heard_it_is_read_back(agent: str, script: str, own: str | None) -> None:
    """Agent, script and the operator's own number come back out of the reference as they went in."""
    kept = Witness(agent, script).reference("spoken", own)
    assert kept is not None
    assert len(kept) <= 128
    wanted = {"agent": agent, "script_version": script, **({} if own is None else {"reference": own})}
    assert read_witness("spoken", kept) == wanted


@given(st.binary(min_size=32, max_size=32), OWN)
def test_the_forms_image_is_read_back(digest: bytes, own: str | None) -> None:
    """The image's hash and the form's number come back as they went in."""
    kept = Witness(image_sha256=digest.hex()).reference("paper", own)
    assert kept is not None
    assert len(kept) <= 128
    wanted = {"image_sha256": digest.hex(), **({} if own is None else {"reference": own})}
    assert read_witness("paper", kept) == wanted


@pytest.mark.parametrize("kind", [EventKind.GRANT, EventKind.GRANT_EXPLICIT, EventKind.JOIN_PROGRAMME])
@pytest.mark.parametrize(
    ("how", "witness", "pointers"),
    [
        ("spoken", Witness(), ["/evidence/agent", "/evidence/script_version"]),
        ("spoken", Witness(agent="a-1"), ["/evidence/script_version"]),
        ("spoken", Witness(script_version="3"), ["/evidence/agent"]),
        ("paper", Witness(), ["/evidence/image_sha256"]),
        ("spoken", Witness("a 1", "3"), ["/evidence/agent"]),
        ("spoken", Witness("a-1", "x" * 25), ["/evidence/script_version"]),
        ("spoken", Witness("anna@example.com", "3"), ["/evidence/agent"]),
        ("paper", Witness(image_sha256="0F" * 32), ["/evidence/image_sha256"]),
        ("paper", Witness(image_sha256="0f" * 31), ["/evidence/image_sha256"]),
        ("paper", Witness(image_sha256="0g" * 32), ["/evidence/image_sha256"]),
        ("spoken", Witness("a-1", "3", "0f" * 32), ["/evidence/image_sha256"]),
        ("web_form", HEARD, ["/evidence/agent", "/evidence/script_version"]),
    ],
)
@pytest.mark.usefixtures("people")
def test_an_incomplete_yes_is_refused_at_its_member(
    choices: Choices, caller: Caller, kind: EventKind, how: str, witness: Witness, pointers: list[str]
) -> None:
    """Each member that is missing, malformed or of another way is named, and nothing is recorded."""
    person = PersonRef(data_subject="ds_1")
    purpose: dict[str, Any] = {} if kind is EventKind.JOIN_PROGRAMME else {"purpose": "email_marketing"}
    shown = {"notice": "privacy", "notice_version": "4", "language": "de"}
    with pytest.raises(InputRefused) as refused:
        choices.record(caller, NewChoice(person, kind, NOON, how, reference="c-1", witness=witness, **purpose, **shown))
    assert [fault.pointer for fault in refused.value.faults] == pointers
    assert "anna" not in str(refused.value)
    assert choices.history(person) == ()


@pytest.mark.parametrize(("how", "witness"), [("spoken", HEARD), ("paper", SCANNED)])
@pytest.mark.usefixtures("people")
def test_a_whole_yes_is_recorded_and_a_no_needs_none_of_it(
    choices: Choices, caller: Caller, how: str, witness: Witness
) -> None:
    """With its witness the yes stands without a notice of ours; a withdrawal needs neither agent nor image."""
    person = PersonRef(data_subject="ds_1")
    choices.record(caller, NewChoice(person, EventKind.GRANT, NOON, how, "email_marketing", witness=witness))
    choices.record(caller, NewChoice(person, EventKind.WITHDRAW, NOON, how, "email_marketing"))
    grant, withdrawal = choices.history(person)
    assert read_witness(how, grant.event.evidence.reference) == {
        name: value for name, value in vars_of(witness).items() if value is not None
    }
    assert withdrawal.event.evidence.reference is None


def vars_of(witness: Witness) -> dict[str, str | None]:
    """The members of a witness."""
    return {name: getattr(witness, name) for name in ("agent", "script_version", "image_sha256")}
