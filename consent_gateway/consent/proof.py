"""Shows how a choice came to be, step by step with its evidence (GDPR Art. 7(1)); changes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

from consent_gateway.consent.choices import Choices
from consent_gateway.consent.evidence import SUFFICES
from consent_gateway.consent.notices import ShownNotice
from consent_gateway.consent.receipts import Receipts, has_receipt
from consent_gateway.consent.witness import read_witness
from consent_gateway.errors import Conflict
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import ANY_PURPOSE, Caller, Choice, ConsentEvent, EventKind

_OF_THE_CHILD = frozenset({EventKind.PARENTAL_AUTHORISATION, EventKind.PARENTAL_REVOCATION})


@dataclass(frozen=True, slots=True)
class Step:
    """One event, what shows it, the text then shown, and the id of its receipt (None for an act of the company)."""

    committed: ConsentEvent
    suffices: str
    witness: Mapping[str, str]
    shown: ShownNotice | None
    receipt_id: str | None


@dataclass(frozen=True, slots=True)
class Proof:
    """How a choice stands, and every step that led there, in order."""

    data_subject: str
    purpose: str
    choice: Choice
    steps: tuple[Step, ...]


class Proofs:
    """One instance per process; safe to share between threads."""

    def __init__(self, choices: Choices, receipts: Receipts) -> None:
        self._choices = choices
        self._receipts = receipts

    def of(self, caller: Caller, person: PersonRef, purpose: str) -> Proof:
        """The proof, once it is on record who is told. Raises `NotFound`, and `Conflict` for a shared identifier."""
        known = self._choices.state(person)
        if known.shared:
            raise Conflict("several people use this identifier: ask for one of them by `data_subject`")
        self._choices.account_for(caller, "read_evidence", known.data_subject)
        events = self._choices.history(PersonRef(data_subject=known.data_subject))
        steps = tuple(self._step(each) for each in events if _concerns(each, purpose))
        choice = known.facts.choices.get(purpose) or Choice(purpose)
        return Proof(known.data_subject, purpose, choice, steps)

    def _step(self, committed: ConsentEvent) -> Step:
        evidence = committed.event.evidence
        suffices = {str(how): told for how, told in SUFFICES.items()}[evidence.how]
        receipt_id = committed.event_id if has_receipt(committed) else None
        shown = self._receipts.evidence(committed.event_id)[1]
        return Step(committed, suffices, read_witness(evidence.how, evidence.reference), shown, receipt_id)


def _concerns(committed: ConsentEvent, purpose: str) -> bool:
    event = committed.event
    return event.purpose == purpose or (event.purpose == ANY_PURPOSE and event.kind in _OF_THE_CHILD)
