"""Builds the rights room out of the process's parts, with those who carry rights out; decides nothing."""

from dataclasses import replace

from consent_gateway.consent.choices import Choices
from consent_gateway.customers.mail import MailQueue, wordings
from consent_gateway.people.enrolment import Enrolment
from consent_gateway.policy.rights_terms import terms_on
from consent_gateway.rights.access import Packages
from consent_gateway.rights.carrying import KINDS, CorrectsRecord, ErasesPerson, Handing, MakesPackage, Mending
from consent_gateway.rights.effects import Effects
from consent_gateway.rights.execution import Executor
from consent_gateway.rights.handling import Handling
from consent_gateway.rights.intake import Intake
from consent_gateway.rights.own import OwnRequests
from consent_gateway.rights.proofs import Mailing, Proofs
from consent_gateway.rights.regimes import Laws
from consent_gateway.rights.request_records import RequestRecords
from consent_gateway.rights.requests import Book
from consent_gateway.rights.retention_daily import DailyRetention
from consent_gateway.rights.room import RightsRoom
from consent_gateway.rights.sealed import Seal
from consent_gateway.settings import Settings
from consent_gateway.wiring.corrections import open_correcting
from consent_gateway.wiring.parts import Parts
from consent_gateway.wiring.rights import ErasureDesk
from consent_gateway.writes import Writes

_NO_CHANNEL = "privacy_desk"


def open_rights(
    parts: Parts, settings: Settings, choices: Choices, desk: ErasureDesk, enrolment: Enrolment, writes: Writes
) -> RightsRoom:
    """The rights room of one process. `desk` carries out erasures and makes packages."""
    correcting = open_correcting(parts, settings, desk, enrolment, writes)
    documents = parts.policies.documents
    laws = Laws(documents.packs)
    book = Book(laws)
    effects = Effects(choices, documents.purposes)
    seal = Seal(parts.keyring.service_key("rights-requests"))
    terms = terms_on(documents.rights, parts.clock.now().date())
    makes = MakesPackage(desk.packages)
    executors: dict[str, Executor] = {
        "delete": ErasesPerson(desk.erasing),
        "correct": CorrectsRecord(correcting),
        **dict.fromkeys(KINDS, makes),
    }
    handling = Handling(
        engine=parts.engine, clock=parts.clock, book=book, effects=effects, seal=seal, executors=executors
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
    )
    proofs = Proofs(
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
    channel = _NO_CHANNEL if terms is None else terms.channel
    room = RightsRoom(laws, intake, proofs, handling, channel, Handing(handling, desk.packages))
    daily = DailyRetention(
        engine=parts.engine,
        run=desk.retention,
        records=RequestRecords(parts.engine, parts.clock, book, documents.rights),
        clock=parts.clock,
        mode=settings.retention,
    )
    mending = Mending(handling, correcting)
    return replace(room, own=_own(parts, room, desk.packages), mending=mending, daily=daily)


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


def _mailing(parts: Parts, settings: Settings) -> Mailing | None:
    chosen = settings.customers
    if chosen.mail == "none":
        return None
    return Mailing(MailQueue(parts.keyring.service_key("customer-mail")), wordings("rights_code"), chosen.mail_name)
