"""The rights room for tests: the shipped laws and terms over a real database, a small store, codes that are known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from consent_gateway.consent.facts import FactsReader
from consent_gateway.customers.mail import MailQueue, wordings
from consent_gateway.database import HeldConnections
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.suppression import SuppressionTags
from consent_gateway.ports import Clock, Page, StoredRecord
from consent_gateway.rights.effects import Effects
from consent_gateway.rights.execution import Executor, Outcome, Work
from consent_gateway.rights.handling import Handling
from consent_gateway.rights.intake import Intake
from consent_gateway.rights.letter_desk import LetterDesk
from consent_gateway.rights.letters import Company, Letters
from consent_gateway.rights.proofs import Mailing, Proofs
from consent_gateway.rights.regimes import Laws
from consent_gateway.rights.replies import Replies
from consent_gateway.rights.requests import Book
from consent_gateway.rights.room import RightsRoom
from consent_gateway.rights.sealed import AddressSeal, Seal
from tests.conftest import FixedIndexKeys
from tests.steps import shipped_policies

KEY = bytes(range(32))
CODE = "12345678"
ADA_POINTS = {"last_name": "Löv-Lace", "postcode": "10115", "birth_date": "1990-04-12"}


@dataclass
class SmallStore:
    """Records by store key. Counts what was read."""

    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    reads: int = 0

    def read(self, store_key: str, fields: Sequence[str], _page: Page) -> StoredRecord | None:
        """As `CustomerStore.read`."""
        self.reads += 1
        record = self.records.get(store_key)
        return None if record is None else StoredRecord({name: record.get(name) for name in fields}, {}, "1")


@dataclass
class KeptWork:
    """An executor that remembers its work and answers as it is told; `failing` is raised instead, once."""

    outcome: Outcome = field(default_factory=lambda: Outcome(complete=True, reference="crt_1"))
    failing: BaseException | None = None
    done: list[Work] = field(default_factory=list)
    withdrawn: list[tuple[str, str]] = field(default_factory=list)

    def execute(self, work: Work) -> Outcome:
        """As `Executor.execute`."""
        self.done.append(work)
        if self.failing is not None:
            failing, self.failing = self.failing, None
            raise failing
        return self.outcome

    def withdraw(self, request_id: str, by: str) -> None:
        """As `Executor.withdraw`."""
        self.withdrawn.append((request_id, by))


def open_room(
    engine: sa.Engine,
    held: HeldConnections,
    clock: Clock,
    choices: Any,
    *,
    store: SmallStore | None = None,
    executors: Mapping[str, Executor] | None = None,
    on_file: Callable[[str], str | None] | None = None,
    mails: bool = True,
) -> RightsRoom:
    """The room over this database. It writes letters where `on_file` says whose mail address the store has."""
    policies = shipped_policies()
    documents = policies.documents
    laws = Laws(documents.packs)
    letters = write_letters(engine, clock, mails=mails) if on_file is not None else None
    book = Book(laws) if letters is None else letters.book
    effects, seal = Effects(choices, documents.purposes), Seal(KEY)
    return RightsRoom(
        laws=laws,
        intake=Intake(
            engine=engine,
            clock=clock,
            book=book,
            laws=laws,
            terms=documents.rights,
            facts=FactsReader(held),
            indexes=BlindIndex(FixedIndexKeys(), "DE"),
            tags=SuppressionTags(KEY, "DE"),
            effects=effects,
            seal=seal,
            replies=None if on_file is None else Replies(AddressSeal(KEY), on_file),
        ),
        proofs=Proofs(
            engine=engine,
            clock=clock,
            book=book,
            terms=documents.rights,
            store=store or SmallStore(),  # type: ignore[arg-type]
            catalogue=documents.catalogue,
            effects=effects,
            seal=seal,
            key=KEY,
            mailing=Mailing(MailQueue(KEY), wordings("rights_code"), "Shop"),
            draw=lambda: CODE,
        ),
        handling=Handling(
            engine=engine,
            clock=clock,
            book=book,
            effects=effects,
            seal=seal,
            executors=executors or {},
            tell_expired=letters.tell_expired if letters is not None else tell_nobody,
        ),
        channel="privacy_desk",
        letters=letters,
    )


def tell_nobody(_connection: sa.Connection, _now: datetime) -> None:
    """No letters are written."""


def write_letters(engine: sa.Engine, clock: Clock, *, mails: bool = True) -> LetterDesk:
    """The letters, as shipped."""
    documents = shipped_policies().documents
    letters = Letters(
        texts=documents.letters,
        authority=documents.access_texts.authority,
        addresses=AddressSeal(KEY),
        queue=MailQueue(KEY) if mails else None,
        company=Company("Shop", "https://gateway.example/preferences/requests"),
    )
    return LetterDesk(engine=engine, clock=clock, book=Book(Laws(documents.packs), letters), letters=letters)
