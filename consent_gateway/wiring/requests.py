"""Builds the rights room out of the process's parts, with those who carry rights out; decides nothing."""

from dataclasses import replace

import sqlalchemy as sa

from consent_gateway.callers.transactions import reading
from consent_gateway.consent.choices import Choices
from consent_gateway.customers.limits import SignInLimits
from consent_gateway.customers.mail import MailQueue, wordings
from consent_gateway.errors import KeysUnavailable, StoreUnavailable
from consent_gateway.people.enrolment import Enrolment
from consent_gateway.people.tables import PEOPLE
from consent_gateway.policy.rights_terms import terms_on
from consent_gateway.ports import Page
from consent_gateway.propagation.known_as import KnownAs
from consent_gateway.propagation.names import DomainNames
from consent_gateway.rights.access import Packages
from consent_gateway.rights.carrying import KINDS, CorrectsRecord, ErasesPerson, Handing, MakesPackage, Mending
from consent_gateway.rights.correction import Correcting
from consent_gateway.rights.effects import Effects
from consent_gateway.rights.execution import Executor
from consent_gateway.rights.handling import Handling
from consent_gateway.rights.intake import Intake
from consent_gateway.rights.letter_desk import LetterDesk
from consent_gateway.rights.letters import Company, Letters
from consent_gateway.rights.own import OwnRequests
from consent_gateway.rights.proofs import Mailing, Proofs
from consent_gateway.rights.recipients import RecipientNotices
from consent_gateway.rights.regimes import Laws
from consent_gateway.rights.replies import Replies
from consent_gateway.rights.request_records import RequestRecords
from consent_gateway.rights.requests import Book
from consent_gateway.rights.retention_daily import DailyRetention
from consent_gateway.rights.room import RightsRoom
from consent_gateway.rights.sealed import AddressSeal, Seal
from consent_gateway.rights.strangers import Strangers
from consent_gateway.settings import Settings
from consent_gateway.wiring.corrections import open_correcting
from consent_gateway.wiring.parts import Parts, every_class
from consent_gateway.wiring.rights import ErasureDesk
from consent_gateway.writes import Writes

_NO_CHANNEL = "privacy_desk"
REQUESTS_PAGE = "/preferences/requests"


def open_letters(parts: Parts, settings: Settings) -> LetterDesk:
    """The letters about requests, and the requests whose steps write them."""
    documents, chosen = parts.policies.documents, settings.customers
    letters = Letters(
        texts=documents.letters,
        authority=documents.access_texts.authority,
        addresses=_addresses(parts),
        queue=_queue(parts, settings),
        company=Company(chosen.mail_name, f"{settings.issuer}{REQUESTS_PAGE}"),
    )
    book = Book(Laws(documents.packs), letters)
    return LetterDesk(engine=parts.engine, clock=parts.clock, book=book, letters=letters)


def open_recipient_notices(parts: Parts, settings: Settings) -> RecipientNotices:
    """What recipients are told of erasures and corrections."""
    recipients = parts.policies.recipients
    purposes = {key: one.purposes for key, one in recipients.items()}
    return RecipientNotices(
        engine=parts.engine,
        clock=parts.clock,
        texts=parts.policies.documents.letters,
        recipients=recipients,
        known_as=KnownAs(DomainNames(parts.keyring), purposes),
        queue=_queue(parts, settings),
        company=settings.customers.mail_name,
    )


def _queue(parts: Parts, settings: Settings) -> MailQueue | None:
    """Where mail waits; None where none leaves."""
    return None if settings.customers.mail == "none" else MailQueue(parts.keyring.service_key("customer-mail"))


def open_rights(
    parts: Parts,
    settings: Settings,
    choices: Choices,
    desk: ErasureDesk,
    letters: LetterDesk,
    enrolment: Enrolment,
    writes: Writes,
) -> RightsRoom:
    """The rights room of one process. `desk` carries out erasures and makes packages."""
    correcting = open_correcting(parts, settings, desk, enrolment, writes)
    documents = parts.policies.documents
    laws = Laws(documents.packs)
    book = letters.book
    effects = Effects(choices, documents.purposes)
    seal = Seal(parts.keyring.service_key("rights-requests"))
    terms = terms_on(documents.rights, parts.clock.now().date())
    handling = Handling(
        engine=parts.engine,
        clock=parts.clock,
        book=book,
        effects=effects,
        seal=seal,
        executors=_executors(desk, correcting),
        tell_expired=letters.tell_expired,
    )
    intake = Intake(
        engine=parts.engine,
        clock=parts.clock,
        book=book,
        laws=laws,
        terms=documents.rights,
        facts=parts.facts,
        indexes=parts.indexes,
        tags=parts.tags,
        effects=effects,
        seal=seal,
        replies=Replies(_addresses(parts), lambda person: _mail_on_file(parts, person)),
    )
    proofs = _proofs(parts, settings, book, effects, seal)
    channel = _NO_CHANNEL if terms is None else terms.channel
    room = RightsRoom(laws, intake, proofs, handling, channel, Handing(handling, desk.packages), letters=letters)
    return replace(
        room,
        own=_own(parts, room, desk.packages),
        strangers=_strangers(parts, room),
        mending=Mending(handling, correcting),
        daily=_daily(parts, settings, book, desk),
        notices=desk.notices,
    )


def _executors(desk: ErasureDesk, correcting: Correcting) -> dict[str, Executor]:
    makes = MakesPackage(desk.packages)
    erases, corrects = ErasesPerson(desk.erasing), CorrectsRecord(correcting)
    return {"delete": erases, "correct": corrects, **dict.fromkeys(KINDS, makes)}


def _proofs(parts: Parts, settings: Settings, book: Book, effects: Effects, seal: Seal) -> Proofs:
    documents = parts.policies.documents
    return Proofs(
        engine=parts.engine,
        clock=parts.clock,
        book=book,
        terms=documents.rights,
        store=parts.store,
        catalogue=documents.catalogue,
        effects=effects,
        seal=seal,
        key=parts.keyring.service_key("rights-codes"),
        mailing=_mailing(parts, settings),
    )


def _daily(parts: Parts, settings: Settings, book: Book, desk: ErasureDesk) -> DailyRetention:
    return DailyRetention(
        engine=parts.engine,
        run=desk.retention,
        records=RequestRecords(parts.engine, parts.clock, book, parts.policies.documents.rights),
        clock=parts.clock,
        mode=settings.retention,
    )


def _own(parts: Parts, room: RightsRoom, packages: Packages) -> OwnRequests:
    return OwnRequests(
        engine=parts.engine,
        clock=parts.clock,
        laws=room.laws,
        terms=parts.policies.documents.rights,
        facts=parts.facts,
        intake=room.intake,
        proofs=room.proofs,
        handling=room.handling,
        packages=packages,
    )


def _strangers(parts: Parts, room: RightsRoom) -> Strangers:
    return Strangers(
        laws=room.laws,
        intake=room.intake,
        proofs=room.proofs,
        handling=room.handling,
        limits=SignInLimits(parts.engine, parts.clock, parts.keyring.service_key("sign-in-limits")),
        key=parts.keyring.service_key("stranger-requests"),
        clock=parts.clock,
    )


def _addresses(parts: Parts) -> AddressSeal:
    return AddressSeal(parts.keyring.service_key("rights-letters"))


def _mail_on_file(parts: Parts, data_subject: str) -> str | None:
    """The mail address that the store has of a person; None where it has none or cannot be asked now."""
    field = next((one for one in parts.policies.catalogue.root.fields if one.identity == "email"), None)
    query = sa.select(PEOPLE.c.store_key).where(PEOPLE.c.data_subject == data_subject)
    with reading(parts.engine) as connection:
        store_key = connection.execute(query).scalar_one_or_none()
    if field is None or store_key is None:
        return None
    try:
        held = parts.store.read(store_key, [field.name], Page(limit=0))
        values = {} if held is None else {field.name: held.values.get(field.name)}
        if field.key_class is not None:
            values = parts.sealing.opened(values, data_subject, every_class(parts.policies))
    except (StoreUnavailable, KeysUnavailable):
        return None  # a request is taken all the same: its letters go by post
    value = values.get(field.name)
    return value if isinstance(value, str) and value else None


def _mailing(parts: Parts, settings: Settings) -> Mailing | None:
    queue = _queue(parts, settings)
    return None if queue is None else Mailing(queue, wordings("rights_code"), settings.customers.mail_name)
