"""A customer store in any database SQLAlchemy reaches; asks for permitted columns only, and decides nothing.

What the store looks like is learnt at the first call, by reflection of the catalogued tables, so that the gateway
starts while the store is away. A read of root fields is one statement; each child collection is one more. They run
outside a transaction: a change between two of them can be seen in one and not in the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from consent_gateway.connectors.changes import Changes
from consent_gateway.connectors.engines import Deadline, open_store_engine
from consent_gateway.connectors.enrolling import EnrolmentPlan
from consent_gateway.connectors.faults import schema_faults
from consent_gateway.connectors.plans import Planner, RowPlan
from consent_gateway.connectors.refusals import answering, unavailable
from consent_gateway.connectors.schema import Schema, key_parser, reflect
from consent_gateway.connectors.versions import Versions
from consent_gateway.database import HeldConnections, PreparedRead
from consent_gateway.errors import DatabaseUnavailable, InputRefused, StoreUnavailable
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.ports import Page, StoredIdentity, StoredRecord
from consent_gateway.vocabulary import JsonValue

MOST_ROWS = 1000
"""Most rows of a child collection, or records of an enrolment, in one page."""


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What is made of one reflection; replaced as a whole."""

    schema: Schema
    planner: Planner


class SqlStore:
    """`CustomerStore` over a database that exists already. Safe to share between threads.

    `engine_or_url`: a SQLAlchemy URL, opened by `open_store_engine`; or an engine, taken with its own time-outs.
    `timeout`: seconds a call may take; between two statements and, on SQLite, within one.
    `version_key`: at least 16 secret bytes, the same in every process, so that versions compare.
    `threads`: how many threads will call; each holds a connection.
    """

    def __init__(
        self,
        engine_or_url: Engine | str,
        catalogue: Catalogue,
        *,
        timeout: float,
        version_key: bytes,
        threads: int = 32,
    ) -> None:
        self._catalogue = catalogue
        self._deadline = Deadline(timeout)
        self._engine = (
            open_store_engine(engine_or_url, timeout=timeout, threads=threads, deadline=self._deadline)
            if isinstance(engine_or_url, str)
            else engine_or_url
        )
        self._versions = Versions(version_key, catalogue)
        self._held = HeldConnections(self._engine)
        self._learnt: _Learnt | None = None
        self._learning = Lock()

    def read(self, store_key: str, fields: Sequence[str], page: Page = Page()) -> StoredRecord | None:  # noqa: B008 - frozen
        """As `CustomerStore.read`. Raises `UnknownField` and, for a page out of bounds, `InputRefused`."""
        if not 0 <= page.limit <= MOST_ROWS or page.offset < 0:
            raise InputRefused(f"a page has from 0 to {MOST_ROWS} rows and an offset of 0 or more")
        self._deadline.start()
        learnt = self._learnt or self._learn()
        plan = learnt.planner.plan(frozenset(fields))
        key = plan.parse_key(store_key)
        if key is None:
            return None
        try:
            rows = plan.root.read.rows(key=key)
            if not rows:
                return None
            if len(rows) > 1:  # two people under one key: neither may be answered
                raise StoreUnavailable("more than one record has this key: make the catalogue's primary key unique")
            values = plan.root.formed(rows[0]) if plan.root.names else {}
            children = {child.collection: self._page(child, key, page) for child in plan.children}
        except DatabaseUnavailable as error:
            raise unavailable(error.__cause__) from None
        return StoredRecord(
            values=values,
            children={name: rows[: page.limit] for name, rows in children.items()},
            version=self._versions.of(store_key, values),
            more=frozenset(name for name, rows in children.items() if len(rows) > page.limit),
        )

    def _page(self, child: RowPlan, key: object, page: Page) -> list[dict[str, JsonValue]]:
        """The rows of the page and one more, which tells whether there are any past it."""
        if self._deadline.passed():
            raise StoreUnavailable("the customer store took too long: raise its time-out or ask for fewer collections")
        rows = child.read.rows(key=key, limit=page.limit + 1, offset=page.offset)
        return [child.formed(row) for row in rows]

    def update(self, store_key: str, changes: Mapping[str, JsonValue], expected_version: str | None) -> str:
        """As `CustomerStore.update`."""
        self._deadline.start()
        learnt = self._learnt or self._learn()
        with answering(self._engine):
            return Changes(self._engine, learnt.schema, self._versions).update(store_key, changes, expected_version)

    def create(self, values: Mapping[str, JsonValue]) -> str:
        """As `CustomerStore.create`. Takes the writable fields of the root, and its key where the caller gives it."""
        self._deadline.start()
        learnt = self._learnt or self._learn()
        with answering(self._engine):
            return Changes(self._engine, learnt.schema, self._versions).create(values)

    def identities(self, after: str | None, limit: int) -> Sequence[StoredIdentity]:
        """As `CustomerStore.identities`; identity columns of child collections are gathered in the same page."""
        if not 1 <= limit <= MOST_ROWS:
            raise InputRefused(f"a page has from 1 to {MOST_ROWS} records")
        self._deadline.start()
        learnt = self._learnt or self._learn()
        position = None
        if after is not None:
            position = key_parser(learnt.schema.key.type, self._engine.dialect.name)(after)
            if position is None:
                raise InputRefused("the position is not a key of this store: start again from the beginning")
        with answering(self._engine):
            return EnrolmentPlan(learnt.schema, learnt.planner).page(position, limit)

    def count(self) -> int:
        """As `CustomerStore.count`."""
        self._deadline.start()
        learnt = self._learnt or self._learn()
        table = learnt.schema.table(self._catalogue.root)
        statement = sa.select(sa.func.count()).select_from(table)
        with answering(self._engine):
            return int(PreparedRead(self._held, self._engine.dialect, statement).rows()[0][0])

    def faults(self) -> Sequence[str]:
        """As `CustomerStore.faults`; looks at the store anew and uses from now on what it finds."""
        learnt = self._learn(again=True)
        self._deadline.start()
        return schema_faults(self._engine, learnt.schema, learnt.planner)

    def close(self) -> None:
        """Close every connection; to be called when no thread uses the store any more."""
        self._held.close()
        self._engine.dispose()

    def _learn(self, *, again: bool = False) -> _Learnt:
        with self._learning:
            if self._learnt is None or again:
                self._deadline.start()
                with answering(self._engine):
                    schema = reflect(self._engine, self._catalogue)
                self._learnt = _Learnt(schema, Planner(schema, self._held, self._versions))
            return self._learnt
