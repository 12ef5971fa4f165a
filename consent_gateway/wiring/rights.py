"""Builds what erases in the store and makes access packages, over one process's parts; decides nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from consent_gateway.audit.log import AuditLog
from consent_gateway.connectors.erasing import SqlErasing
from consent_gateway.consent.ledger import Announce
from consent_gateway.customers.mail import Sender, Settled, nobody_asks
from consent_gateway.customers.outbox import Outbox
from consent_gateway.errors import KeysUnavailable
from consent_gateway.policy.catalogue import Collection
from consent_gateway.ports import StoreRow
from consent_gateway.protection.sealing import Sealing
from consent_gateway.rights import access, certificate, erasure_records
from consent_gateway.rights.access import Packages
from consent_gateway.rights.access_document import Documents
from consent_gateway.rights.certificate import Certificates
from consent_gateway.rights.erasure import At, Erasing
from consent_gateway.rights.erasure_closing import Closing, DropMail, no_outbox
from consent_gateway.rights.erasure_records import Sealer
from consent_gateway.rights.leaving import forget_details
from consent_gateway.rights.recipients import RecipientNotices
from consent_gateway.rights.retention import RetentionRun
from consent_gateway.rights.scan import Scan
from consent_gateway.rights.scan_values import Opened
from consent_gateway.settings import Settings
from consent_gateway.shredding import Shredding
from consent_gateway.vocabulary import JsonValue
from consent_gateway.wiring.parts import Parts, every_class

_SECONDS = 60  # for what is not a look through a whole table


@dataclass(frozen=True, slots=True)
class ErasureDesk:
    """Erasures and their certificates, notices to recipients, access packages, retention runs."""

    erasing: Erasing
    closing: Closing
    notices: RecipientNotices
    certificates: Certificates
    packages: Packages
    retention: RetentionRun
    scan: Scan
    stores: tuple[SqlErasing, ...]

    @property
    def purges(self) -> tuple[Callable[[], int], ...]:
        """What the background worker runs now and then."""
        return (self.erasing.purge, self.packages.purge)

    def close(self) -> None:
        """Close the connections to the store, and to the gateway's own database for looking through it."""
        for each in self.stores:
            each.close()


def open_erasure_desk(
    parts: Parts,
    settings: Settings,
    announce_in: Announce,
    notices: RecipientNotices,
    at: At = lambda _step: None,
    settled: Settled = nobody_asks,
) -> ErasureDesk:
    """The desk of one process; it connects when it is asked for something. `settled` hears of mail taken back."""
    seconds = max(_SECONDS, settings.scan_seconds)
    store = SqlErasing(settings.store_url, timeout=seconds)
    # A connection of its own: a look through a table takes longer than any statement of a request may.
    gateway = SqlErasing(settings.database_url, timeout=seconds)
    certificates = _certificates(parts, settings)
    scan = Scan(store, gateway, _folders(settings))
    closing = _closing(parts, settings, scan, certificates, announce_in, notices, settled)
    erasing = Erasing(
        engine=parts.engine,
        store=store,
        policies=parts.policies,
        sealer=Sealer(parts.keyring.service_key(erasure_records.KEY)),
        closing=closing,
        clock=parts.clock,
        announce_in=announce_in,
        region=settings.phone_region,
        opened=lambda person: opened_by(parts, person),
        at=at,
    )
    retention = RetentionRun(
        engine=parts.engine,
        store=store,
        catalogue=parts.policies.catalogue,
        retention=parts.policies.documents.retention,
        clock=parts.clock,
    )
    packages = _packages(parts, settings, store, at)
    return ErasureDesk(erasing, closing, notices, certificates, packages, retention, scan, (store, gateway))


def _folders(settings: Settings) -> tuple[Path, ...]:
    return (settings.state_dir / "outbox", *settings.export_folders)


def _certificates(parts: Parts, settings: Settings) -> Certificates:
    capabilities = parts.keyring.inventory().provider
    return Certificates(
        issuer=settings.issuer,
        company=settings.tenant,
        seed=parts.keyring.service_key(certificate.KEY),
        provider=capabilities.kind,
        horizon_days=capabilities.destruction_delay_days,
    )


def _closing(
    parts: Parts,
    settings: Settings,
    scan: Scan,
    certificates: Certificates,
    announce_in: Announce,
    notices: RecipientNotices,
    settled: Settled,
) -> Closing:
    shredding = Shredding(
        engine=parts.engine,
        keyring=parts.keyring,
        tags=parts.tags,
        clock=parts.clock,
        announce_in=announce_in,
        leave=(forget_details,),
    )
    return Closing(
        engine=parts.engine,
        scan=scan,
        shredding=shredding,
        certificates=certificates,
        retention=parts.policies.documents.retention,
        log=AuditLog(parts.engine, settings.state_dir),
        clock=parts.clock,
        mail_key=parts.keyring.service_key("customer-mail"),
        tell=notices.tell,
        settled=settled,
        drop_outbox=_outbox(parts, settings),
    )


def _outbox(parts: Parts, settings: Settings) -> DropMail:
    chosen = settings.customers
    if chosen.mail != "outbox":
        return no_outbox
    return Outbox(settings.state_dir / "outbox", Sender(chosen.mail_from, chosen.mail_name), parts.clock).drop


def _packages(parts: Parts, settings: Settings, store: SqlErasing, at: At) -> Packages:
    return Packages(
        engine=parts.engine,
        store=store,
        catalogue=parts.policies.catalogue,
        retention=parts.policies.documents.retention,
        documents=Documents(parts.policies, settings.customers.mail_name, _plain_channel(parts)),
        keyring=parts.keyring,
        known=parts.facts.by_id,
        log=AuditLog(parts.engine, settings.state_dir),
        clock=parts.clock,
        link_key=parts.keyring.service_key(access.KEY),
        opened=lambda person: opened_by(parts, person),
        at=at,
    )


def _plain_channel(parts: Parts) -> str:
    """A channel on which no exception rests, so that a purpose is judged by itself."""
    channels = parts.policies.channels
    return next((key for key, one in channels.items() if not one.conditions), next(iter(channels), ""))


def opened_by(parts: Parts, data_subject: str) -> Opened:
    """Opens the sealed columns of a person's rows with every class, as an operator's act."""
    grant = every_class(parts.policies)
    sealing: Sealing = parts.sealing

    def opened(collection: Collection, row: StoreRow) -> Mapping[str, JsonValue]:
        clear: dict[str, JsonValue] = {}
        for one in collection.fields:
            value = row.values.get(one.column)
            if one.protection != "sealed" or value is None:
                continue
            try:
                clear[one.column] = sealing.opened({one.name: value}, data_subject, grant)[one.name]
            except KeysUnavailable:
                continue  # what does not open is of no use to anybody who copied it
        return clear

    return opened
