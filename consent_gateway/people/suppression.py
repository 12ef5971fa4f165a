"""The suppression list: keyed tags of what erased people were known by; keeps no value, no person and no time.

A tag is made when an identifier is linked and kept in its row, so that an erasure can put it on the list when nobody
has the value any more. It does not hang on the blind index, whose key is rotated: the key of the tags never is. Whoever
brings a listed identifier is refused what would bring the person back, and still heard where they restrict something.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.database import DRIVER_ERRORS, reading_connection
from consent_gateway.errors import (
    Conflict,
    DatabaseUnavailable,
    FieldFault,
    InputRefused,
    KeysUnavailable,
    NotFound,
    Suppressed,
)
from consent_gateway.ids import REFERENCE, new_id
from consent_gateway.people.linking import chunks, insert_ignoring, unlink_others
from consent_gateway.people.normalise import NORMALISATION_VERSION, normalise
from consent_gateway.people.tables import (
    FIELD_PROVENANCE,
    IDENTIFIERS,
    PEOPLE,
    SEARCH_INDEXES,
    SHARED_IDENTIFIERS,
    SUPPRESSIONS,
)
from consent_gateway.ports import Clock
from consent_gateway.protection.primitives import KEY_BYTES, bind, mac
from consent_gateway.vocabulary import Identifier

STORE_KEY = "store_key"
"""The kind under which keys of the customer store stand on the list, beside the kinds of identifier."""

MAX_REFERENCE = 128

_TAG_BYTES = 16  # 128 bits: no two of any number of identifiers collide by chance
_LOCK_NUMBER = 0x70656F70  # "peop": the advisory lock between enrolment and erasure
_OF_A_PERSON = (FIELD_PROVENANCE, SEARCH_INDEXES)  # tables of this room whose rows of an erased person are deleted
_INSERT = insert_ignoring(SUPPRESSIONS)
_LISTED = sa.select(SUPPRESSIONS.c.tag).where(
    SUPPRESSIONS.c.tag.in_(sa.bindparam("tags", expanding=True, type_=sa.String()))
)


class SuppressionTags:
    """Makes the tags. `key` is the service key `suppression`, `region` as in `BlindIndex`. Safe between threads."""

    def __init__(self, key: bytes, region: str | None = None) -> None:
        if len(key) < KEY_BYTES:
            raise KeysUnavailable(f"the suppression key has fewer than {KEY_BYTES} bytes: restore the key database")
        self._key = key
        self._region = region

    def of(self, identifier: Identifier) -> str:
        """32 hexadecimal digits of HMAC-SHA256 over kind, version and normal form. Raises `IdentifierRefused`."""
        return self._tag(identifier.kind, NORMALISATION_VERSION, normalise(identifier, self._region))

    def of_store_key(self, store_key: str) -> str:
        """The tag of a key of the customer store, taken as it is."""
        return self._tag(STORE_KEY, 1, store_key)

    def _tag(self, kind: str, version: int, value: str) -> str:
        return mac(self._key, bind("suppression/1", kind, version, value))[:_TAG_BYTES].hex()


@dataclass(frozen=True, slots=True)
class Left:
    """What an erased person left in the directory: entries of the list, and identifiers that others still use."""

    suppressed: int
    shared: int


def suppressed(connection: sa.Connection, tags: Iterable[str]) -> frozenset[str]:
    """Those of the tags that are on the list."""
    found: set[str] = set()
    for chunk in chunks(sorted(set(tags))):
        found |= set(connection.execute(_LISTED, {"tags": chunk}).scalars())
    return frozenset(found)


def refuse_opening(connection: sa.Connection, people: Collection[str], tag: str | None) -> None:
    """Raise `Suppressed` where the identifier named, or one that these people hold, is on the list.

    Someone may hold a listed identifier who said no by it after the erasure. Nothing may be opened for them.
    """
    holders = (
        sa.select(IDENTIFIERS.c.data_subject)
        .join(SUPPRESSIONS, SUPPRESSIONS.c.tag == IDENTIFIERS.c.suppression_tag)
        .where(IDENTIFIERS.c.data_subject.in_(list(people)))
        .limit(1)
    )
    if (tag is not None and suppressed(connection, [tag])) or connection.execute(holders).first() is not None:
        raise opening_refused()


def opening_refused() -> Suppressed:
    """The refusal of a choice that would open something by a listed identifier."""
    return Suppressed(
        "nothing can be opened by an identifier of an erased person: the operator lifts the suppression"
        " when they come back by their own act"
    )


def hold_for_enrolment(connection: sa.Connection) -> None:
    """Let no erasure happen between looking at the list and writing what it allows, until the transaction ends.

    On SQLite the transaction has the whole file.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_LOCK_NUMBER)))


def hold_for_erasure(connection: sa.Connection) -> None:
    """Wait until no page is being enrolled, and let none begin until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_NUMBER)))


def leave(connection: sa.Connection, data_subject: str, tags: SuppressionTags) -> Left:
    """Take an erased person out of the directory and put what they were known by on the list.

    An identifier that someone else holds too is not listed, for that person stays a customer; it is listed when the
    last of its holders is erased. The person's row stays, for their ledger hangs on it, with the country alone. Raises
    `Conflict` for an identifier that was linked without a tag. Call it in a transaction that has `hold_for_erasure`.
    """
    held = connection.execute(_held_by(data_subject)).all()
    alone = [row for row in held if not row.shared]
    if any(row.suppression_tag is None for row in alone):
        raise Conflict(
            "an identifier of this person has no suppression tag, so an import could bring the person back:"
            " run `consent-gateway people enrol`, which adds it, and try again"
        )
    listed = [{"tag": row.suppression_tag, "kind": row.kind} for row in alone]
    store_key = connection.execute(sa.select(PEOPLE.c.store_key).where(PEOPLE.c.data_subject == data_subject)).scalar()
    if store_key is not None:
        listed.append({"tag": tags.of_store_key(store_key), "kind": STORE_KEY})
    if listed:
        connection.execute(_INSERT[connection.dialect.name], listed)
    unlink_others(connection, data_subject, {row.kind for row in held}, ())
    for table in _OF_A_PERSON:
        connection.execute(sa.delete(table).where(table.c.data_subject == data_subject))
    emptied = sa.update(PEOPLE).where(PEOPLE.c.data_subject == data_subject)
    # The country stays, so that a decision about the person goes on to say that they were erased.
    connection.execute(emptied.values(store_key=None, minor_born=None))
    return Left(len(listed), len(held) - len(alone))


def _held_by(data_subject: str) -> sa.Select[str, str | None, bool]:
    shares = SHARED_IDENTIFIERS.c
    mine = sa.exists().where(
        shares.kind == IDENTIFIERS.c.kind,
        shares.blind_index == IDENTIFIERS.c.blind_index,
        shares.data_subject == data_subject,
    )
    return sa.select(IDENTIFIERS.c.kind, IDENTIFIERS.c.suppression_tag, IDENTIFIERS.c.shared).where(
        sa.or_(IDENTIFIERS.c.data_subject == data_subject, mine)
    )


class SuppressionList:
    """What an operator may do with the list. Safe to share between threads."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        tags: SuppressionTags,
        record_in: Callable[[sa.Connection, Entry], None],
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._tags = tags
        self._record_in = record_in
        self._clock = clock

    def counts(self) -> Mapping[str, int]:
        """How many entries there are of each kind."""
        counted = sa.select(SUPPRESSIONS.c.kind, sa.func.count()).group_by(SUPPRESSIONS.c.kind)
        try:
            with reading_connection(self._engine) as connection:
                rows = connection.execute(counted.order_by(SUPPRESSIONS.c.kind)).all()
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the suppression list could not be read: ask again") from error
        return {row[0]: row[1] for row in rows}

    def lift(self, kind: str, value: str, *, reference: str, by: str) -> str:
        """Take one identifier, or store key, off the list for someone who comes back by own act; returns the entry id.

        `reference` points to that act and stands in the audit entry, which holds no value. What was erased stays so.
        Raises `IdentifierRefused` for a malformed identifier, `InputRefused` for a reference that is not one,
        `NotFound` where it is not on the list, `DatabaseUnavailable`.
        """
        refuse_no_reference(reference)
        tag = self._tags.of_store_key(value) if kind == STORE_KEY else self._tags.of(Identifier(kind, value))
        now = self._clock.now()
        entry = _lifted(kind, reference, by, now)
        try:
            with self._engine.begin() as connection:
                if connection.execute(sa.delete(SUPPRESSIONS).where(SUPPRESSIONS.c.tag == tag)).rowcount != 1:
                    raise NotFound(f"this `{kind}` is not on the suppression list")
                self._record_in(connection, entry)
        except DRIVER_ERRORS as error:
            raise DatabaseUnavailable("the suppression could not be lifted: try again") from error
        return entry.entry_id


def refuse_no_reference(reference: str) -> None:
    """Raise `InputRefused` for what is no reference: empty, too long, or with spaces or an at-sign in it."""
    if len(reference) > MAX_REFERENCE or not REFERENCE.fullmatch(reference):
        message = f"at most {MAX_REFERENCE} characters of the kind an identifier has, without spaces"
        raise InputRefused(f"the reference is not well-formed: {message}", (FieldFault("/reference", message),))


def _lifted(kind: str, reference: str, by: str, now: datetime) -> Entry:
    return Entry(
        entry_id=new_id("sup", now),
        kind=EntryKind.PERSON,
        at=now,
        caller=by,
        action="lift_suppression",
        outcome="lifted",
        detail={"kind": kind, "reference": reference},
    )
