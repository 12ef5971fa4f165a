"""Reads what a decision must know about one person, in one indexed statement; on the path of every request.

No cache stands between this and the tables: the next read in any process sees a committed withdrawal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from consent_gateway.consent.merge import merge_restrictive
from consent_gateway.consent.stored import read_names, read_status
from consent_gateway.consent.tables import PERSON_STATE, PURPOSE_STATE
from consent_gateway.database import HeldConnections, PreparedRead, from_micros
from consent_gateway.people.tables import IDENTIFIERS, PEOPLE, SHARED_IDENTIFIERS
from consent_gateway.vocabulary import Choice, Facts

_PERSON = (
    PEOPLE.c.data_subject,
    PEOPLE.c.store_key,
    PEOPLE.c.jurisdiction,
    PEOPLE.c.minor_born,
    PERSON_STATE.c.parental_authorisation,
    PERSON_STATE.c.restricted,
    PERSON_STATE.c.limited,
    PERSON_STATE.c.gpc,
    PERSON_STATE.c.member,
    PERSON_STATE.c.erasure_pending,
    PERSON_STATE.c.erased,
    PERSON_STATE.c.legal_hold,
)
_CHOICE = (
    PURPOSE_STATE.c.purpose,
    PURPOSE_STATE.c.status,
    PURPOSE_STATE.c.given_at,
    PURPOSE_STATE.c.valid_until,
    PURPOSE_STATE.c.notice_version,
    PURPOSE_STATE.c.objected,
    PURPOSE_STATE.c.opted_out,
    PURPOSE_STATE.c.opted_in_again,
    PURPOSE_STATE.c.unsubscribed,
    PURPOSE_STATE.c.conditions,
    PURPOSE_STATE.c.event_id,
)
_AT = len(_PERSON)  # where the columns of a choice begin in a row
_SHARED = _AT + len(_CHOICE)


@dataclass(frozen=True, slots=True)
class Known:
    """A person the gateway knows, or the holders of a shared identifier.

    Where `shared`, `facts` are the most restrictive of all holders', `data_subject` is the first holder's id by
    order of ids and `store_key` is None: an identifier that several people use opens nobody's record.
    """

    data_subject: str
    store_key: str | None
    facts: Facts
    shared: bool = False


class FactsReader:
    """Facts by id or by blind index. Safe to share between threads: each holds its own connection."""

    def __init__(self, held: HeldConnections) -> None:
        person = sa.bindparam("data_subject", type_=sa.String())
        kind, index = sa.bindparam("kind", type_=sa.String()), sa.bindparam("blind_index", type_=sa.String())
        stated = PEOPLE.outerjoin(PERSON_STATE, PERSON_STATE.c.data_subject == PEOPLE.c.data_subject).outerjoin(
            PURPOSE_STATE, PURPOSE_STATE.c.data_subject == PEOPLE.c.data_subject
        )
        by_id = sa.select(*_PERSON, *_CHOICE).select_from(stated).where(PEOPLE.c.data_subject == person)
        by_index = (
            sa.select(*_PERSON, *_CHOICE, IDENTIFIERS.c.shared)
            .select_from(stated.join(IDENTIFIERS, IDENTIFIERS.c.data_subject == PEOPLE.c.data_subject))
            .where(IDENTIFIERS.c.kind == kind, IDENTIFIERS.c.blind_index == index)
        )
        by_shared = (
            sa.select(*_PERSON, *_CHOICE)
            .select_from(stated.join(SHARED_IDENTIFIERS, SHARED_IDENTIFIERS.c.data_subject == PEOPLE.c.data_subject))
            .where(SHARED_IDENTIFIERS.c.kind == kind, SHARED_IDENTIFIERS.c.blind_index == index)
            .order_by(PEOPLE.c.data_subject)
        )
        self._by_id = PreparedRead(held, held.dialect, by_id)
        self._by_index = PreparedRead(held, held.dialect, by_index)
        self._by_shared = PreparedRead(held, held.dialect, by_shared)

    def by_id(self, data_subject: str) -> Known | None:
        """The person of this id; None if it is nobody's. Raises `DatabaseUnavailable`."""
        rows = self._by_id.rows(data_subject=data_subject)
        return _known(rows) if rows else None

    def by_index(self, kind: str, blind_index: str) -> Known | None:
        """Who holds this identifier; None if nobody does. Raises `DatabaseUnavailable`."""
        rows = self._by_index.rows(kind=kind, blind_index=blind_index)
        if not rows:
            return None
        if rows[0][_SHARED]:
            return self._holders(kind, blind_index) or _known(rows)
        return _known(rows)

    def _holders(self, kind: str, blind_index: str) -> Known | None:
        people: dict[str, list[tuple[Any, ...]]] = {}
        for row in self._by_shared.rows(kind=kind, blind_index=blind_index):
            people.setdefault(row[0], []).append(row)
        if not people:
            return None
        facts = merge_restrictive([_facts(rows) for rows in people.values()])
        return Known(next(iter(people)), None, facts, shared=True)


def _known(rows: Sequence[tuple[Any, ...]]) -> Known:
    return Known(rows[0][0], rows[0][1], _facts(rows))


def _facts(rows: Sequence[tuple[Any, ...]]) -> Facts:
    """Rows of one person: the person's columns alike in all, then one choice each, or nulls if there is none."""
    person, _, jurisdiction, minor_born, parental, restricted, limited, gpc, member, pending, erased, hold = rows[0][
        :_AT
    ]
    return Facts(
        jurisdiction=jurisdiction,
        choices={row[_AT]: _choice(row) for row in rows} if rows[0][_AT] is not None else {},
        minor_born=None if minor_born is None else date.fromisoformat(minor_born),
        parental_authorisation=bool(parental),
        restricted=bool(restricted),
        limited=bool(limited),
        gpc=bool(gpc),
        member=bool(member),
        erasure_pending=bool(pending),
        erased=bool(erased),
        legal_hold=bool(hold),
        data_subject=person,
    )


def _choice(row: tuple[Any, ...]) -> Choice:
    purpose, status, given, until, notice, objected, opted_out, again, unsubscribed, conditions, event_id = row[
        _AT:_SHARED
    ]
    return Choice(
        purpose,
        read_status(status),
        _moment(given),
        _moment(until),
        notice,
        bool(objected),
        bool(opted_out),
        bool(again),
        bool(unsubscribed),
        read_names(conditions),
        event_id,
    )


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
