"""What travels down the line of one call: question, decided line, log entry, answer; acts on nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.consent.facts import Known
from consent_gateway.ids import new_id
from consent_gateway.people.directory import PersonRef
from consent_gateway.ports import Page
from consent_gateway.vocabulary import (
    COMPANY,
    AccessRequest,
    Action,
    Caller,
    Decision,
    Effect,
    JsonValue,
    Reason,
    Verdict,
)

REFUSED = Verdict(Effect.WITHHOLD, Reason.NO_CONSENT, "gateway.refused")
"""What an unknown person and a refused one get alike: compared by identity."""


def tells_nothing(verdicts: Mapping[str, Verdict]) -> bool:
    """Whether an answer with these verdicts is that of a miss: what an unknown person and a refused one get."""
    return all(verdict is REFUSED for verdict in verdicts.values())


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """A read by id or identifier. `fields` None means every field the purpose declares."""

    person: PersonRef
    purpose: str
    fields: tuple[str, ...] | None = None
    recipient: str | None = None
    page: Page = Page()  # noqa: RUF009 - frozen
    gpc: bool = False


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """What may go out.

    `data_subject` is None where nothing may be told, not even that the person is known, and where a pseudonym goes
    out: beside it, our own id would link what two recipients hold of one person.
    """

    decision_id: str
    data_subject: str | None
    record: Mapping[str, JsonValue]
    more: tuple[str, ...]  # child collections with rows past the page
    verdicts: Mapping[str, Verdict]
    revision: str
    version: str | None  # for a later write with optimistic concurrency; None where nothing was read


@dataclass(frozen=True, slots=True)
class DecideQuery:
    """A decision without data."""

    person: PersonRef
    purpose: str
    fields: tuple[str, ...] | None = None
    action: Action = Action.READ
    recipient: str | None = None
    gpc: bool = False


@dataclass(frozen=True, slots=True)
class DecideAnswer:
    """The verdicts, and the id under which they are in the log."""

    decision_id: str
    data_subject: str | None
    verdicts: Mapping[str, Verdict]
    revision: str


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """One purpose for many people: the filter of a send list."""

    persons: tuple[PersonRef, ...]
    purpose: str
    fields: tuple[str, ...] | None = None
    recipient: str | None = None


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """One decision per person, in the order asked."""

    revision: str
    results: tuple[DecideAnswer, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """What one call carries down the line: who asks, about whom, and what was decided."""

    caller: Caller
    request: AccessRequest
    known: Known | None
    decision: Decision

    @property
    def recipient(self) -> str:
        """The recipient's key, `company` for the company itself."""
        return self.request.recipient or COMPANY


def linkable(verdicts: Iterable[Verdict]) -> bool:
    """Whether a pseudonym goes out, beside which nothing may stand that is the same for every recipient."""
    return any(verdict.effect is Effect.PSEUDONYMISE for verdict in verdicts)


def decision_entry(line: Line, kind: EntryKind = EntryKind.DECISION, outcome: str | None = None) -> Entry:
    """The audit entry of a decision: ids, fields, verdicts and facts by name, never a value."""
    decision, request = line.decision, line.request
    opened = bool(decision.open_fields)
    return Entry(
        entry_id=new_id("dec", request.time),
        kind=kind,
        at=request.time,
        caller=line.caller.client_id,
        channel=line.caller.channel,
        purpose=request.purpose,
        action=request.action.value,
        data_subject=line.known.data_subject if line.known else None,
        recipient=line.recipient,
        fields={
            name: (verdict.effect.word, verdict.reason.value, verdict.rule)
            for name, verdict in decision.verdicts.items()
        },
        facts=decision.facts,
        jurisdiction=decision.jurisdiction,
        pack=decision.pack,
        revision=decision.revision,
        consent_event=decision.consent_event,
        outcome=outcome or ("open" if opened else "withheld"),
    )
