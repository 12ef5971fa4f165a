"""Makes access packages, has them reviewed, hands them out once, and forgets them; renders nothing itself.

A package lies encrypted under a key derived from the person's own, so it is gone with their keys as well as at its
expiry and its row at their erasure. It is made in one transaction with its audit entry: killed before, nothing was
made; killed after, the same request gives the same package.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.log import AuditLog
from consent_gateway.audit.recorder import record_in
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.consent import ledger
from consent_gateway.consent.facts import Known
from consent_gateway.database import from_micros, to_micros
from consent_gateway.errors import Conflict, InputRefused, NotFound
from consent_gateway.ids import new_id
from consent_gateway.people import provenance
from consent_gateway.people.suppression import refuse_no_reference
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.policy.retention import Retention, after
from consent_gateway.ports import Clock, ErasableStore
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import PersonKeys, draw_nonce
from consent_gateway.protection.primitives import bind, gcm_decrypt, gcm_encrypt
from consent_gateway.rights.access_document import ACCESS, KNOW, PORTABILITY, Documents, Dossier
from consent_gateway.rights.erasure_tables import ACCESS_PACKAGES
from consent_gateway.rights.plan_rows import gather
from consent_gateway.rights.scan_values import Opened
from consent_gateway.vocabulary import Identifier

KEY = "access-packages"
"""Name of the service key that keys the hashes of links."""

STEPS = ("making", "made")
"""Where making a package may be cut short: just before its commit, and after it."""

TO_REVIEW, RELEASED = "to_review", "released"


KINDS_OF_PACKAGE = (ACCESS, PORTABILITY, KNOW)
"""What a package can hold: everything, what can be taken elsewhere, or the kinds of data alone."""


@dataclass(frozen=True, slots=True)
class Package:
    """One package, without what is in it."""

    package_id: str
    data_subject: str
    request_id: str
    kind: str
    state: str
    made_at: datetime
    expires_at: datetime
    released_at: datetime | None


class Packages:
    """The access packages of one installation. Safe to share between threads.

    `known` finds a person's facts, `opened` the clear values of sealed columns of a person's row.
    """

    def __init__(
        self,
        *,
        engine: sa.Engine,
        store: ErasableStore,
        catalogue: Catalogue,
        retention: Retention,
        documents: Documents,
        keyring: KeyRing,
        known: Callable[[str], Known | None],
        log: AuditLog,
        clock: Clock,
        link_key: bytes,
        opened: Callable[[str], Opened] = lambda _person: lambda _collection, _row: {},
        at: Callable[[str], None] = lambda _step: None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._catalogue = catalogue
        self._retention = retention
        self._documents = documents
        self._keyring = keyring
        self._known = known
        self._log = log
        self._clock = clock
        self._link_key = link_key
        self._opened = opened
        self._at = at

    def make(
        self,
        data_subject: str,
        *,
        request_id: str,
        by: str,
        kind: str = ACCESS,
        language: str = "en",
        known_by: Sequence[Identifier] = (),
    ) -> Package:
        """Make a package, or give the one that was made for this request. Raises `NotFound`, `Conflict` for an erased
        person, `KeysUnavailable`, `StoreUnavailable`.
        """
        refuse_no_reference(request_id)
        if kind not in KINDS_OF_PACKAGE:
            raise InputRefused("a package is of the kind `access`, `portability` or `know`")
        earlier = self._of_request(request_id, kind)
        if earlier is not None:
            return earlier
        known = self._known(data_subject)
        if known is None:
            raise NotFound("no person has this id")
        if known.facts.erased:
            raise Conflict("the person was erased: there is nothing to give")
        document = self._made(data_subject, known, kind, language, known_by)
        self._keep(data_subject, request_id, kind, document, by)
        self._at("made")
        made = self._of_request(request_id, kind)
        if made is None:
            raise NotFound("the package was over before it was made: ask again")
        return made

    def _made(
        self, data_subject: str, known: Known, kind: str, language: str, known_by: Sequence[Identifier]
    ) -> dict[str, Any]:
        with reading(self._engine) as connection:
            written = provenance.lookup(connection, data_subject)
            events = ledger.history(connection, data_subject)
        dossier = Dossier(
            kind=kind,
            language=language,
            now=self._clock.now(),
            facts=known.facts,
            gathered=gather(self._store, self._catalogue, known.store_key, known_by),
            opened=self._opened(data_subject),
            provenance=written,
            events=events,
            log=self._log.about(data_subject),
        )
        return self._documents.document(dossier)

    def _keep(self, data_subject: str, request_id: str, kind: str, document: dict[str, Any], by: str) -> None:
        now = self._clock.now()
        row = self._row(data_subject, request_id, kind, document, now)
        with transaction(self._engine) as connection:
            ledger.lock(connection, [data_subject])  # no erasure begins meanwhile, and of two makers one waits
            if "erased" in ledger.state(connection, data_subject).flags:
                raise Conflict("the person was erased: there is nothing to give")
            if self._rows(connection, request_id, kind):
                return
            connection.execute(sa.insert(ACCESS_PACKAGES), [row])
            counts = {"fields": str(len(document["fields"]) or len(document.get("kinds", ()))), "kind": kind}
            record_in(connection, _entry(row, by, "make_package", "made", now, **counts))
            self._at("making")

    def review(self, package_id: str, *, by: str) -> dict[str, Any]:
        """The document, for an officer's eyes before it is released; recorded. Raises `NotFound`, `KeysUnavailable`."""
        row = self._present(package_id)
        document = self._document(row)
        with transaction(self._engine) as connection:
            record_in(connection, _entry(_as_dict(row), by, "review_package", "read", self._clock.now()))
        return document

    def release(self, package_id: str, *, by: str, blank: Sequence[str] = ()) -> str:
        """Let the person fetch it, without the fields in `blank`; the single-use link's secret, told this once.

        A second release makes a new secret and ends the one before.
        """
        row, now = self._present(package_id), self._clock.now()
        document = self._document(row)
        unknown = set(blank) - {one["field"] for one in document["fields"]}
        if unknown:
            raise InputRefused(f"the package has no field {', '.join(f'`{one}`' for one in sorted(unknown))}")
        for one in document["fields"]:
            if one["field"] in blank:
                one["values"] = [{"value": None, "not_told": "others", "because": ""} for _ in one["values"]]
        secret = secrets.token_urlsafe(32)
        values = {
            "state": RELEASED,
            "released_at": to_micros(now),
            "link_hash": self._hashed(secret),
            "sealed": self._sealed(row.data_subject, package_id, document),
        }
        with transaction(self._engine) as connection:
            changed = sa.update(ACCESS_PACKAGES).where(ACCESS_PACKAGES.c.package_id == package_id).values(values)
            if connection.execute(changed).rowcount != 1:
                raise NotFound("there is no such package any more")
            detail = {"blanked": str(len(blank))}
            record_in(connection, _entry(_as_dict(row), by, "release_package", "released", now, **detail))
        return secret

    def link(self, request_id: str, data_subject: str) -> str:
        """A fresh single-use secret for the person whose released package it is; the one before is over.

        Raises `NotFound` for what is not theirs, not released or over.
        """
        columns, secret = ACCESS_PACKAGES.c, secrets.token_urlsafe(32)
        theirs = (columns.request_id == request_id, columns.data_subject == data_subject)
        alive = (columns.state == RELEASED, columns.expires_at > to_micros(self._clock.now()))
        with transaction(self._engine) as connection:
            changed = sa.update(ACCESS_PACKAGES).where(*theirs, *alive).values(link_hash=self._hashed(secret))
            if connection.execute(changed).rowcount != 1:
                raise NotFound("there is no such package, or its time is over")
        return secret

    def fetch(self, secret: str, data_subject: str) -> dict[str, Any]:
        """The document, once, to the person who is signed in; the link is used up. Raises `NotFound` for anything else.

        The caller vouches that the person has signed in just now.
        """
        now, columns = self._clock.now(), ACCESS_PACKAGES.c
        with transaction(self._engine) as connection:
            theirs = (columns.link_hash == self._hashed(secret), columns.data_subject == data_subject)
            alive = (columns.state == RELEASED, columns.expires_at > to_micros(now))
            row = connection.execute(sa.select(ACCESS_PACKAGES).where(*theirs, *alive)).one_or_none()
            if row is None:
                raise NotFound("this link is not known, was used before, or is over")
            document = self._document(row)
            using = sa.update(ACCESS_PACKAGES).where(columns.package_id == row.package_id, *theirs)
            if connection.execute(using.values(link_hash=None)).rowcount != 1:
                raise NotFound("this link is not known, was used before, or is over")
            record_in(connection, _entry(_as_dict(row), None, "fetch_package", "fetched", now))
        return document

    def of_request(self, request_id: str) -> Package:
        """The package of a request. Raises `NotFound`, for one that is over too."""
        made = next(filter(None, (self._of_request(request_id, kind) for kind in KINDS_OF_PACKAGE)), None)
        if made is None:
            raise NotFound("nothing was made for this request, or its time is over")
        return made

    def withdraw(self, request_id: str, *, by: str) -> None:
        """Delete what was made for a request that is refused or withdrawn."""
        columns, now = ACCESS_PACKAGES.c, self._clock.now()
        with transaction(self._engine) as connection:
            for row in (row for kind in KINDS_OF_PACKAGE for row in self._rows(connection, request_id, kind)):
                connection.execute(sa.delete(ACCESS_PACKAGES).where(columns.package_id == row.package_id))
                record_in(connection, _entry(_as_dict(row), by, "withdraw_package", "deleted", now))

    def find(self, package_id: str) -> Package:
        """One package. Raises `NotFound`, for one that is over too."""
        return _package(self._present(package_id))

    def purge(self) -> int:
        """Delete the packages that are over; how many."""
        over = sa.delete(ACCESS_PACKAGES).where(ACCESS_PACKAGES.c.expires_at <= to_micros(self._clock.now()))
        with transaction(self._engine) as connection:
            return connection.execute(over).rowcount

    def _row(
        self, data_subject: str, request_id: str, kind: str, document: dict[str, Any], now: datetime
    ) -> dict[str, Any]:
        package_id = new_id("pkg", now)
        life = after(now.date(), self._retention.on(now.date()).package_life) - now.date()
        return {
            "package_id": package_id,
            "data_subject": data_subject,
            "request_id": request_id,
            "kind": kind,
            "state": TO_REVIEW,
            "revision": document["policy_revision"],
            "made_at": to_micros(now),
            "expires_at": to_micros(now + life),
            "sealed": self._sealed(data_subject, package_id, document),
        }

    def _sealed(self, data_subject: str, package_id: str, document: dict[str, Any]) -> bytes:
        key = self._keyring.create(data_subject).package_key(package_id)
        return gcm_encrypt(key, draw_nonce(), orjson.dumps(document), bind("access-package/1", package_id))

    def _document(self, row: sa.Row[Any]) -> dict[str, Any]:
        keys: PersonKeys = self._keyring.person_keys(row.data_subject)
        associated = bind("access-package/1", row.package_id)
        document: dict[str, Any] = orjson.loads(
            gcm_decrypt(keys.package_key(row.package_id), bytes(row.sealed), associated)
        )
        return document

    def _present(self, package_id: str) -> sa.Row[Any]:
        columns = ACCESS_PACKAGES.c
        alive = columns.expires_at > to_micros(self._clock.now())
        with reading(self._engine) as connection:
            asked = sa.select(ACCESS_PACKAGES).where(columns.package_id == package_id, alive)
            row = connection.execute(asked).one_or_none()
        if row is None:
            raise NotFound("there is no such package, or its time is over")
        return row

    def _of_request(self, request_id: str, kind: str) -> Package | None:
        with reading(self._engine) as connection:
            rows = self._rows(connection, request_id, kind)
        return _package(rows[0]) if rows else None

    def _rows(self, connection: sa.Connection, request_id: str, kind: str) -> Sequence[sa.Row[Any]]:
        columns = ACCESS_PACKAGES.c
        alive = columns.expires_at > to_micros(self._clock.now())
        asked = sa.select(ACCESS_PACKAGES).where(columns.request_id == request_id, columns.kind == kind, alive)
        return connection.execute(asked).all()

    def _hashed(self, secret: str) -> str:
        return hmac.new(self._link_key, secret.encode(), hashlib.sha256).hexdigest()


def _package(row: sa.Row[Any]) -> Package:
    return Package(
        package_id=row.package_id,
        data_subject=row.data_subject,
        request_id=row.request_id,
        kind=row.kind,
        state=row.state,
        made_at=from_micros(row.made_at),
        expires_at=from_micros(row.expires_at),
        released_at=None if row.released_at is None else from_micros(row.released_at),
    )


def _as_dict(row: sa.Row[Any]) -> dict[str, Any]:
    return {"package_id": row.package_id, "data_subject": row.data_subject, "revision": row.revision}


def _entry(row: dict[str, Any], by: str | None, action: str, outcome: str, now: datetime, **detail: str) -> Entry:
    return Entry(
        entry_id=new_id("acc", now),
        kind=EntryKind.RIGHTS_REQUEST,
        at=now,
        caller=by,
        action=action,
        data_subject=row["data_subject"],
        revision=row["revision"],
        outcome=outcome,
        reference=row["package_id"],
        detail=detail,
    )
