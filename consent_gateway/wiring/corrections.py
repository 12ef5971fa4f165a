"""Builds what corrects records, over one process's parts; decides nothing."""

from collections.abc import Mapping

from consent_gateway.audit.log import AuditLog
from consent_gateway.people.enrolment import Enrolment
from consent_gateway.rights import erasure_records
from consent_gateway.rights.correction import Correcting, Fit
from consent_gateway.rights.correction_closing import CorrectionClosing
from consent_gateway.rights.erasure import At
from consent_gateway.rights.erasure_records import Sealer
from consent_gateway.settings import Settings
from consent_gateway.vocabulary import JsonValue
from consent_gateway.wiring.parts import Parts, every_class
from consent_gateway.wiring.rights import ErasureDesk, opened_by

_CHANNEL = "privacy_desk"


def open_correcting(
    parts: Parts, settings: Settings, desk: ErasureDesk, enrolment: Enrolment, fit: Fit, at: At = lambda _step: None
) -> Correcting:
    """What corrects records, over the store of the desk. `fit` says what may be written at all."""
    grant = every_class(parts.policies)

    def sealed(data_subject: str, values: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        return parts.sealing.sealed(values, data_subject, grant)

    closing = CorrectionClosing(
        engine=parts.engine,
        scan=desk.scan,
        enrolment=enrolment,
        catalogue=parts.policies.catalogue,
        retention=parts.policies.documents.retention,
        log=AuditLog(parts.engine, settings.state_dir),
        clock=parts.clock,
        channel=_CHANNEL,
        tell=desk.notices.tell,
    )
    return Correcting(
        engine=parts.engine,
        store=desk.stores[0],
        records=parts.store,
        policies=parts.policies,
        sealer=Sealer(parts.keyring.service_key(erasure_records.KEY)),
        closing=closing,
        fit=fit,
        clock=parts.clock,
        region=settings.phone_region,
        opened=lambda person: opened_by(parts, person),
        sealed=sealed,
        at=at,
    )
