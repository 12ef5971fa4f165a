"""Turns the consent room's rows into events and states and back; decides nothing about what an event does."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from consent_gateway.consent.projection import FLAGS, PersonState
from consent_gateway.consent.tables import CONSENT_EVENTS, PERSON_STATE, PURPOSE_STATE
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import DatabaseUnavailable
from consent_gateway.vocabulary import Choice, ChoiceStatus, ConsentEvent, EventKind, Evidence, NewConsentEvent

_STATUSES: Mapping[str, ChoiceStatus] = {status.value: status for status in ChoiceStatus}
_NONE: frozenset[str] = frozenset()
_PEOPLE = sa.bindparam("people", expanding=True, type_=sa.String())


def _upserts(table: sa.Table) -> Mapping[str, sa.Insert]:
    """For each dialect, the statement that inserts a row or overwrites the one with its key."""
    keys = [column.name for column in table.primary_key]
    others = [column.name for column in table.columns if not column.primary_key]
    on_sqlite, on_postgresql = sqlite.insert(table), postgresql.insert(table)
    sqlite_values, postgresql_values = on_sqlite.excluded, on_postgresql.excluded
    return MappingProxyType(
        {
            "sqlite": on_sqlite.on_conflict_do_update(
                index_elements=keys, set_={name: sqlite_values[name] for name in others}
            ),
            "postgresql": on_postgresql.on_conflict_do_update(
                index_elements=keys, set_={name: postgresql_values[name] for name in others}
            ),
        }
    )


# Built once: assembling a statement costs several times what it takes to run.
_WRITE_PERSON = _upserts(PERSON_STATE)
_WRITE_PURPOSE = _upserts(PURPOSE_STATE)
_READ_PEOPLE = sa.select(PERSON_STATE).where(PERSON_STATE.c.data_subject.in_(_PEOPLE))
_READ_CHOICES = sa.select(PURPOSE_STATE).where(PURPOSE_STATE.c.data_subject.in_(_PEOPLE))
_READ_EVENTS = (
    sa.select(CONSENT_EVENTS)
    .where(CONSENT_EVENTS.c.data_subject.in_(_PEOPLE))
    .order_by(CONSENT_EVENTS.c.data_subject, CONSENT_EVENTS.c.position)
)


def event_row(committed: ConsentEvent) -> dict[str, object]:
    """The row of one event."""
    event, evidence = committed.event, committed.event.evidence
    return {
        "event_id": committed.event_id,
        "data_subject": event.data_subject,
        "position": committed.position,
        "purpose": event.purpose,
        "kind": event.kind.value,
        "occurred_at": to_micros(event.occurred_at),
        "recorded_at": to_micros(committed.recorded_at),
        "valid_until": _micros(event.valid_until),
        "frequency": event.frequency,
        "channel": evidence.channel,
        "how": evidence.how,
        "recorded_by": evidence.recorded_by,
        "notice": evidence.notice,
        "notice_version": evidence.notice_version,
        "notice_sha256": evidence.notice_sha256,
        "language": evidence.language,
        "reference": evidence.reference,
        "conditions": names_text(evidence.conditions),
    }


def read_event(row: sa.Row[Any]) -> ConsentEvent:
    """The event of one row of `consent_events`."""
    evidence = Evidence(
        channel=row.channel,
        how=row.how,
        recorded_by=row.recorded_by,
        notice=row.notice,
        notice_version=row.notice_version,
        notice_sha256=row.notice_sha256,
        language=row.language,
        reference=row.reference,
        conditions=read_names(row.conditions),
    )
    event = NewConsentEvent(
        data_subject=row.data_subject,
        purpose=row.purpose,
        kind=EventKind(row.kind),
        occurred_at=from_micros(row.occurred_at),
        evidence=evidence,
        valid_until=_moment(row.valid_until),
        frequency=row.frequency,
    )
    return ConsentEvent(row.event_id, row.position, from_micros(row.recorded_at), event)


def read_events(connection: sa.Connection, data_subjects: Sequence[str]) -> Iterable[ConsentEvent]:
    """All events of these people, person by person in order of position."""
    return map(read_event, connection.execute(_READ_EVENTS, {"people": data_subjects}))


def read_states(connection: sa.Connection, data_subjects: Sequence[str]) -> dict[str, PersonState]:
    """The stored state of each of these people that has one."""
    people = connection.execute(_READ_PEOPLE, {"people": data_subjects}).all()
    choices: dict[str, dict[str, Choice]] = {row.data_subject: {} for row in people}
    closed: dict[str, dict[str, datetime]] = {row.data_subject: {} for row in people}
    for row in connection.execute(_READ_CHOICES, {"people": data_subjects}):
        choices.setdefault(row.data_subject, {})[row.purpose] = _read_choice(row)
        if row.closed_at is not None:
            closed.setdefault(row.data_subject, {})[row.purpose] = from_micros(row.closed_at)
    return {
        row.data_subject: PersonState(
            position=row.position,
            flags=frozenset(name for name in FLAGS if getattr(row, name)),
            choices=choices[row.data_subject],
            closed=closed[row.data_subject],
            flags_closed={name: from_micros(at) for name, at in json.loads(row.closed_at).items()},
        )
        for row in people
    }


def write_states(
    connection: sa.Connection, states: Mapping[str, PersonState], purposes: Mapping[str, Iterable[str]]
) -> None:
    """Store these people's states; of each, the choices on `purposes[data_subject]`."""
    people = [_state_row(person, state) for person, state in states.items()]
    choices = [
        _choice_row(person, states[person], purpose)
        for person, named in purposes.items()
        for purpose in named
        if purpose in states[person].choices
    ]
    _run(connection, _WRITE_PERSON, people)
    _run(connection, _WRITE_PURPOSE, choices)


def read_status(word: str) -> ChoiceStatus:
    """The status of a stored word; an unknown one is an error, so that nothing is decided on it."""
    status = _STATUSES.get(word)
    if status is None:
        raise DatabaseUnavailable("a stored choice has an unknown status: run `consent-gateway consent rebuild`")
    return status


def names_text(names: frozenset[str]) -> str:
    """A set of names as the JSON array that is stored."""
    return json.dumps(sorted(names)) if names else "[]"


def read_names(text: str) -> frozenset[str]:
    """The set of names of a stored JSON array."""
    return _NONE if text == "[]" else frozenset(json.loads(text))


def _read_choice(row: sa.Row[Any]) -> Choice:
    return Choice(
        purpose=row.purpose,
        status=read_status(row.status),
        given_at=_moment(row.given_at),
        valid_until=_moment(row.valid_until),
        notice_version=row.notice_version,
        objected=row.objected,
        opted_out=row.opted_out,
        opted_in_again=row.opted_in_again,
        unsubscribed=row.unsubscribed,
        conditions=read_names(row.conditions),
        event_id=row.event_id,
        paused_until=_moment(row.paused_until),
        paused_at=_moment(row.paused_at),
        pause_event=row.pause_event,
        frequency=row.frequency,
    )


def _state_row(data_subject: str, state: PersonState) -> dict[str, object]:
    closed = {name: to_micros(at) for name, at in sorted(state.flags_closed.items())}
    return {
        "data_subject": data_subject,
        "position": state.position,
        **{name: name in state.flags for name in FLAGS},
        "closed_at": json.dumps(closed) if closed else "{}",
    }


def _choice_row(data_subject: str, state: PersonState, purpose: str) -> dict[str, object]:
    choice = state.choices[purpose]
    return {
        "data_subject": data_subject,
        "purpose": purpose,
        "status": choice.status.value,
        "given_at": _micros(choice.given_at),
        "valid_until": _micros(choice.valid_until),
        "notice_version": choice.notice_version,
        "objected": choice.objected,
        "opted_out": choice.opted_out,
        "opted_in_again": choice.opted_in_again,
        "unsubscribed": choice.unsubscribed,
        "conditions": names_text(choice.conditions),
        "closed_at": _micros(state.closed.get(purpose)),
        "event_id": choice.event_id,
        "paused_until": _micros(choice.paused_until),
        "paused_at": _micros(choice.paused_at),
        "pause_event": choice.pause_event,
        "frequency": choice.frequency,
    }


def _run(connection: sa.Connection, writes: Mapping[str, sa.Insert], rows: Sequence[dict[str, object]]) -> None:
    if rows:
        connection.execute(writes[connection.dialect.name], rows)


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
