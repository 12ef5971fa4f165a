"""The places that changes go to: registers, lists and ends them, and moves them back; delivers nothing.

A webhook belongs to a client and hears what the client may hear. An operator's sink belongs to the company.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.tables import CLIENTS
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import CallerNotPermitted, Conflict, InputRefused, NotFound, Undelivered
from consent_gateway.ids import new_id
from consent_gateway.ports import Clock
from consent_gateway.propagation import signing
from consent_gateway.propagation.changes import Audience, untold
from consent_gateway.propagation.outbox import number
from consent_gateway.propagation.posting import Poster
from consent_gateway.propagation.tables import DESTINATIONS, SET_ASIDE
from consent_gateway.vocabulary import COMPANY, Caller

MOST_OF_A_CLIENT = 8
OVERLAP = timedelta(hours=24)
"""How long the secret before the present one signs too."""

WEBHOOK = "webhook"


@dataclass(frozen=True, slots=True)
class Destination:
    """One place; `position` is the last number that was delivered or set aside. Times in UTC."""

    destination_id: str
    client_id: str | None
    kind: str
    target: str
    audience: Audience
    created_at: datetime
    ended_at: datetime | None
    ended_why: str | None
    secret_number: int
    secret_before_until: datetime | None
    position: int
    failures: int
    next_attempt_at: datetime
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a destination is behind: changes it still has to get, since when, and what stands beside the order."""

    untold: int
    since: datetime | None
    waiting: int
    dead: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A change that was given up for one destination."""

    destination_id: str
    number: int
    attempts: int
    first_attempt_at: datetime
    cause: str


def audience_of(caller: Caller, purposes: Collection[str] | None, recipient: str | None) -> Audience:
    """Whom a client listens as: for all its purposes unless it names some, as the company unless it names another.

    Raises `CallerNotPermitted` for what it is not registered for, `InputRefused` where an outside recipient does not
    name one purpose: it knows people by another name in each.
    """
    chosen = frozenset(caller.purposes if purposes is None else purposes)
    receiver = recipient or COMPANY
    if not chosen or not chosen <= caller.purposes:
        raise CallerNotPermitted("the client is not registered for this purpose: ask the operator to register it")
    if receiver not in caller.recipients:
        raise CallerNotPermitted("the client is not registered for this recipient: ask the operator to register it")
    if receiver != COMPANY and len(chosen) != 1:
        raise InputRefused("a recipient outside the company listens for one purpose: name it in `purposes`")
    return Audience(chosen, receiver)


class Destinations:
    """Registers destinations and tells their state. `root` is the key that webhooks' secrets are derived from."""

    def __init__(self, engine: sa.Engine, clock: Clock, root: bytes, poster: Poster) -> None:
        self._engine = engine
        self._clock = clock
        self._root = root
        self._poster = poster

    def add_webhook(self, caller: Caller, url: str, audience: Audience) -> tuple[Destination, signing.Secret]:
        """Register a webhook that hears every change from now on; its secret is shown now and at a rotation only.

        Raises `InputRefused` for an address that no webhook may have and `Conflict` where the client has 8 or this one.
        """
        self._poster.hosts.refuse(url)
        try:
            self._poster.judged(url)
        except Undelivered as error:
            raise InputRefused(f"the webhook's address is refused: {error.cause}") from error
        last = number(self._engine)
        with transaction(self._engine) as connection:
            present = self._of_client(connection, caller.client_id)
            if len(present) >= MOST_OF_A_CLIENT:
                raise Conflict(f"the client has {MOST_OF_A_CLIENT} webhooks: delete one first")
            if any((each.target, each.audience) == (url, audience) for each in present):
                raise Conflict("the client has this webhook already: delete it first")
            made = self._add(connection, caller.client_id, WEBHOOK, url, audience, last)
        return made, self.secrets(made)[0]

    def add_sink(self, kind: str, target: str, purposes: Collection[str], after: int) -> Destination:
        """Register an operator's sink, which hears of the company's people every change past `after`."""
        with transaction(self._engine) as connection:
            same = (DESTINATIONS.c.kind == kind, DESTINATIONS.c.target == target, DESTINATIONS.c.ended_at.is_(None))
            if connection.execute(sa.select(DESTINATIONS.c.destination_id).where(*same)).first():
                raise Conflict("there is this sink already: end it first")
            return self._add(connection, None, kind, target, Audience(frozenset(purposes), COMPANY), after)

    def of_client(self, client_id: str) -> tuple[Destination, ...]:
        """The client's webhooks that have not ended, oldest first."""
        with reading(self._engine) as connection:
            return tuple(self._of_client(connection, client_id))

    def one_of_client(self, client_id: str, destination_id: str) -> Destination:
        """One of them. Raises `NotFound`, also for another client's."""
        found = [each for each in self.of_client(client_id) if each.destination_id == destination_id]
        if not found:
            raise NotFound("there is no webhook of this id")
        return found[0]

    def all(self) -> tuple[Destination, ...]:
        """Every destination that has not ended and whose client is not revoked, oldest first."""
        with reading(self._engine) as connection:
            return tuple(_read(connection, DESTINATIONS.c.ended_at.is_(None), _living()))

    def living(self, destination_id: str) -> Destination | None:
        """The destination while it may be delivered to, else None."""
        with reading(self._engine) as connection:
            at = (DESTINATIONS.c.destination_id == destination_id, DESTINATIONS.c.ended_at.is_(None), _living())
            return next(iter(_read(connection, *at)), None)

    def lag(self, destination: Destination) -> Lag:
        """How far this destination is behind."""
        number(self._engine)
        with reading(self._engine) as connection:
            count, since = untold(connection, destination.audience, destination.position)
            of = SET_ASIDE.c.destination_id == destination.destination_id
            beside = dict.fromkeys((False, True), 0)
            grouped = sa.select(SET_ASIDE.c.is_dead, sa.func.count()).where(of).group_by(SET_ASIDE.c.is_dead)
            beside |= {bool(dead): how_many for dead, how_many in connection.execute(grouped)}
        return Lag(count, since, beside[False], beside[True])

    def secrets(self, destination: Destination) -> Sequence[signing.Secret]:
        """The secrets in force, the present one first."""
        made = [signing.derive(self._root, destination.destination_id, destination.secret_number)]
        until = destination.secret_before_until
        if until is not None and self._clock.now() < until:
            made.append(signing.derive(self._root, destination.destination_id, destination.secret_number - 1))
        return made

    def rotate(self, destination: Destination) -> signing.Secret:
        """Give a webhook a new secret; the one before signs too for a day. Raises `Conflict` where two rotate."""
        now = self._clock.now()
        with transaction(self._engine) as connection:
            changed = connection.execute(
                sa.update(DESTINATIONS)
                .where(
                    DESTINATIONS.c.destination_id == destination.destination_id,
                    DESTINATIONS.c.secret_number == destination.secret_number,
                    DESTINATIONS.c.ended_at.is_(None),
                )
                .values(secret_number=destination.secret_number + 1, secret_before_until=to_micros(now + OVERLAP))
            )
            if changed.rowcount != 1:
                raise Conflict("the webhook's secret was rotated or the webhook ended at the same time: look again")
            record_in(connection, _entry("rotate_secret", destination, now))
        return signing.derive(self._root, destination.destination_id, destination.secret_number + 1)

    def end(self, destination: Destination, why: str) -> None:
        """Deliver to it no more; what it had not got is forgotten with it."""
        now = self._clock.now()
        at = DESTINATIONS.c.destination_id == destination.destination_id
        with transaction(self._engine) as connection:
            ended = sa.update(DESTINATIONS).where(at, DESTINATIONS.c.ended_at.is_(None))
            if connection.execute(ended.values(ended_at=to_micros(now), ended_why=why)).rowcount:
                record_in(connection, _entry("end", destination, now, {"why": why}))

    def replay(self, destination: Destination, after: int) -> None:
        """Deliver again whatever comes after this number, in order, and what waits or is dead past it."""
        if not 0 <= after <= number(self._engine):
            raise InputRefused("there is no change of this number")
        of = DESTINATIONS.c.destination_id == destination.destination_id
        beside = SET_ASIDE.c.destination_id == destination.destination_id
        now = self._clock.now()
        with transaction(self._engine) as connection:
            connection.execute(sa.delete(SET_ASIDE).where(beside, SET_ASIDE.c.number > after))
            connection.execute(sa.update(DESTINATIONS).where(of).values(position=after, failures=0, next_attempt_at=0))
            record_in(connection, _entry("replay", destination, now, {"after": str(after)}))

    def dead(self, destination_id: str | None = None) -> tuple[DeadLetter, ...]:
        """The dead letters of one destination or of all, oldest change first."""
        where = [SET_ASIDE.c.is_dead] + ([SET_ASIDE.c.destination_id == destination_id] if destination_id else [])
        statement = sa.select(SET_ASIDE).where(*where).order_by(SET_ASIDE.c.destination_id, SET_ASIDE.c.number)
        with reading(self._engine) as connection:
            return tuple(
                DeadLetter(row.destination_id, row.number, row.attempts, from_micros(row.first_attempt_at), row.cause)
                for row in connection.execute(statement)
            )

    def revive(self, destination: Destination) -> int:
        """Try this destination's dead letters again, from the beginning; how many. They come late: see `position`."""
        dead = (SET_ASIDE.c.destination_id == destination.destination_id, SET_ASIDE.c.is_dead)
        with transaction(self._engine) as connection:
            again = sa.update(SET_ASIDE).where(*dead)
            count = connection.execute(again.values(is_dead=False, attempts=0, first_attempt_at=0, next_attempt_at=0))
            record_in(connection, _entry("revive", destination, self._clock.now(), {"dead": str(count.rowcount)}))
            return count.rowcount

    def _of_client(self, connection: sa.Connection, client_id: str) -> list[Destination]:
        return _read(connection, DESTINATIONS.c.client_id == client_id, DESTINATIONS.c.ended_at.is_(None))

    def _add(
        self, connection: sa.Connection, client_id: str | None, kind: str, target: str, audience: Audience, after: int
    ) -> Destination:
        now = self._clock.now()
        row = {
            "destination_id": new_id("whk" if client_id else "snk", now),
            "client_id": client_id,
            "kind": kind,
            "target": target,
            "purposes": json.dumps(sorted(audience.purposes)),
            "recipient": audience.recipient,
            "created_at": to_micros(now),
            "secret_number": 1,
            "position": after,
            "failures": 0,
            "next_attempt_at": 0,
        }
        connection.execute(sa.insert(DESTINATIONS).values(row))
        made = _read(connection, DESTINATIONS.c.destination_id == row["destination_id"])[0]
        record_in(connection, _entry("add", made, now, {"purposes": " ".join(sorted(audience.purposes))[:256]}))
        return made


def read_destinations(connection: sa.Connection) -> tuple[Destination, ...]:
    """Every destination there ever was, ended ones among them, oldest first."""
    return tuple(_read(connection))


def _living() -> sa.ColumnElement[bool]:
    revoked = sa.select(CLIENTS.c.client_id).where(CLIENTS.c.revoked_at.is_not(None))
    return DESTINATIONS.c.client_id.is_(None) | DESTINATIONS.c.client_id.not_in(revoked)


def _read(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Destination]:
    ordered = sa.select(DESTINATIONS).where(*where).order_by(DESTINATIONS.c.created_at, DESTINATIONS.c.destination_id)
    return [
        Destination(
            destination_id=row.destination_id,
            client_id=row.client_id,
            kind=row.kind,
            target=row.target,
            audience=Audience(frozenset(json.loads(row.purposes)), row.recipient),
            created_at=from_micros(row.created_at),
            ended_at=_moment(row.ended_at),
            ended_why=row.ended_why,
            secret_number=row.secret_number,
            secret_before_until=_moment(row.secret_before_until),
            position=row.position,
            failures=row.failures,
            next_attempt_at=from_micros(row.next_attempt_at),
            delivered_at=_moment(row.delivered_at),
        )
        for row in connection.execute(ordered)
    ]


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _entry(action: str, destination: Destination, now: datetime, detail: dict[str, str] | None = None) -> Entry:
    """The audit entry of a change to a destination; the URL stays out, for it may hold a secret of the receiver."""
    named = {"destination": destination.destination_id, "kind": destination.kind, **(detail or {})}
    if destination.client_id is not None:
        named["client"] = destination.client_id
    return Entry(
        new_id("dst", now),
        EntryKind.CLIENT,
        now,
        action=f"destination_{action}",
        recipient=destination.audience.recipient,
        detail=named,
    )
