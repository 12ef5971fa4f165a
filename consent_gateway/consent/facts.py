"""Reads what a decision must know about a person, in one indexed statement; on the path of every request.

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
from consent_gateway.people.index_keys import MOST_KEYS
from consent_gateway.people.tables import IDENTIFIERS, INDEX_GENERATION, PEOPLE, SEARCH_INDEXES, SHARED_IDENTIFIERS
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
    PURPOSE_STATE.c.paused_until,
    PURPOSE_STATE.c.paused_at,
    PURPOSE_STATE.c.pause_event,
    PURPOSE_STATE.c.frequency,
)
_AT = len(_PERSON)  # where the columns of a choice begin in a row
_GENERATION = _AT + len(_CHOICE)  # of the list of index keys, in every row found by index
_SHARED = _GENERATION + 1
_UNDER = range(1, MOST_KEYS + 1)  # how many index keys may be in use: a statement for each count


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
    """Facts by id, by blind index or by a part of an identifier. Safe to share between threads, each with a connection.

    What is asked by index is asked under every index key in use at once, and answered together with the generation
    of the list of those keys, out of one statement: see `people.index_keys`.
    """

    def __init__(self, held: HeldConnections) -> None:
        person = sa.bindparam("data_subject", type_=sa.String())
        stated = PEOPLE.outerjoin(PERSON_STATE, PERSON_STATE.c.data_subject == PEOPLE.c.data_subject).outerjoin(
            PURPOSE_STATE, PURPOSE_STATE.c.data_subject == PEOPLE.c.data_subject
        )
        by_id = sa.select(*_PERSON, *_CHOICE).select_from(stated).where(PEOPLE.c.data_subject == person)
        self._by_id = PreparedRead(held, held.dialect, by_id)
        self._by_index = {n: PreparedRead(held, held.dialect, _by_index(n)) for n in _UNDER}
        self._by_shared = {n: PreparedRead(held, held.dialect, _by_shared(n)) for n in _UNDER}
        self._by_part = {n: PreparedRead(held, held.dialect, _by_part(n)) for n in _UNDER}

    def by_id(self, data_subject: str) -> Known | None:
        """The person of this id; None if it is nobody's. Raises `DatabaseUnavailable`."""
        rows = self._by_id.rows(data_subject=data_subject)
        return _known(rows) if rows else None

    def holder(self, kind: str, values: Sequence[str]) -> tuple[int, Known | None]:
        """Generation, and who alone holds this identifier: None if nobody does or several people share it.

        One statement, whoever is asked for: a miss costs what a hit does. Raises `DatabaseUnavailable`.
        """
        rows = self._by_index[len(values)].rows(kind=kind, **_values(values))
        found = rows[0][0] is not None and not rows[0][_SHARED]
        return rows[0][_GENERATION], _known(rows) if found else None

    def by_index(self, kind: str, values: Sequence[str]) -> tuple[int, Known | None]:
        """Generation, and who holds this identifier; None if nobody does. Raises `DatabaseUnavailable`."""
        rows = self._by_index[len(values)].rows(kind=kind, **_values(values))
        generation = rows[0][_GENERATION]
        if rows[0][0] is None:
            return generation, None
        if rows[0][_SHARED]:
            return generation, self._holders(kind, values) or _known(rows)
        return generation, _known(rows)

    def by_part(self, kind: str, mode: str, values: Sequence[str], most: int) -> tuple[int, tuple[Known, ...]]:
        """Generation, and up to `most` people who have this part of an identifier, in order of id.

        One statement, however many there are. Raises `DatabaseUnavailable`.
        """
        rows = self._by_part[len(values)].rows(kind=kind, mode=mode, most=most, **_values(values))
        people: dict[str, list[tuple[Any, ...]]] = {}
        for row in rows:
            if row[0] is not None:
                people.setdefault(row[0], []).append(row)
        return rows[0][_GENERATION], tuple(map(_known, people.values()))

    def _holders(self, kind: str, values: Sequence[str]) -> Known | None:
        people: dict[str, list[tuple[Any, ...]]] = {}
        for row in self._by_shared[len(values)].rows(kind=kind, **_values(values)):
            people.setdefault(row[0], []).append(row)
        if not people:
            return None
        facts = merge_restrictive([_facts(rows) for rows in people.values()])
        return Known(next(iter(people)), None, facts, shared=True)


def _values(values: Sequence[str]) -> dict[str, str]:
    return {f"value{at}": value for at, value in enumerate(values)}


def _of(table: sa.Table, count: int) -> sa.ColumnElement[bool]:
    """The rows of this kind under one of so many indexes."""
    values = [sa.bindparam(f"value{at}", type_=sa.String()) for at in range(count)]
    kind = table.c.kind == sa.bindparam("kind", type_=sa.String())
    return sa.and_(kind, table.c.blind_index == values[0] if count == 1 else table.c.blind_index.in_(values))


def _stated(people: sa.FromClause, found: sa.FromClause) -> sa.FromClause:
    """What is stated of the people found. Outer joins from the generation on: its row comes back for nobody, too."""
    return (
        people.outerjoin(PEOPLE, PEOPLE.c.data_subject == found.c.data_subject)
        .outerjoin(PERSON_STATE, PERSON_STATE.c.data_subject == PEOPLE.c.data_subject)
        .outerjoin(PURPOSE_STATE, PURPOSE_STATE.c.data_subject == PEOPLE.c.data_subject)
    )


def _by_index(count: int) -> sa.Select[Any]:
    joined = _stated(INDEX_GENERATION.outerjoin(IDENTIFIERS, _of(IDENTIFIERS, count)), IDENTIFIERS)
    columns = (*_PERSON, *_CHOICE, INDEX_GENERATION.c.generation, IDENTIFIERS.c.shared)
    return sa.select(*columns).select_from(joined).where(INDEX_GENERATION.c.name == sa.literal_column("'index'"))


def _by_part(count: int) -> sa.Select[Any]:
    mode = SEARCH_INDEXES.c.mode == sa.bindparam("mode", type_=sa.String())
    found = (
        sa.select(SEARCH_INDEXES.c.data_subject)
        .distinct()
        .where(_of(SEARCH_INDEXES, count), mode)
        .order_by(SEARCH_INDEXES.c.data_subject)
        .limit(sa.bindparam("most", type_=sa.Integer()))
        .subquery("found")
    )
    joined = _stated(INDEX_GENERATION.outerjoin(found, sa.true()), found)
    return (
        sa.select(*_PERSON, *_CHOICE, INDEX_GENERATION.c.generation)
        .select_from(joined)
        .where(INDEX_GENERATION.c.name == sa.literal_column("'index'"))
        .order_by(PEOPLE.c.data_subject)
    )


def _by_shared(count: int) -> sa.Select[Any]:
    joined = SHARED_IDENTIFIERS.join(PEOPLE, PEOPLE.c.data_subject == SHARED_IDENTIFIERS.c.data_subject)
    stated = joined.outerjoin(PERSON_STATE, PERSON_STATE.c.data_subject == PEOPLE.c.data_subject).outerjoin(
        PURPOSE_STATE, PURPOSE_STATE.c.data_subject == PEOPLE.c.data_subject
    )
    return (
        sa.select(*_PERSON, *_CHOICE)
        .select_from(stated)
        .where(_of(SHARED_IDENTIFIERS, count))
        .order_by(PEOPLE.c.data_subject)
    )


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
    purpose, status, given, until, notice, objected, opted_out, again, unsubscribed, conditions, event_id, *less = row[
        _AT:_GENERATION
    ]
    paused_until, paused_at, pause_event, frequency = less
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
        _moment(paused_until),
        _moment(paused_at),
        pause_event,
        frequency,
    )


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
