"""Builds what shows and checks the audit log: the API's read side, and the worker's rounds; decides nothing."""

import logging
import socket
import ssl
from collections.abc import Callable, Iterable
from functools import partial

from consent_gateway.audit.anchors import Anchoring, FolderAnchor
from consent_gateway.audit.checkpoint import COSIGNATURE, NoteInvalid, VerifierKey, read_vkey
from consent_gateway.audit.export_jobs import Exports
from consent_gateway.audit.sealer import NOTED_CHECKPOINT
from consent_gateway.audit.signer import Signer
from consent_gateway.audit.stores import audit_folder
from consent_gateway.audit.streaming import EventFile, Place, Streaming
from consent_gateway.audit.syslog import SyslogOverTls
from consent_gateway.audit.verification import Verification
from consent_gateway.audit.witnesses import Cosigning, Witness
from consent_gateway.database import open_engine
from consent_gateway.errors import SettingsRefused
from consent_gateway.settings import Settings
from consent_gateway.wiring.services import Services

_LOG = logging.getLogger(__name__)
_EXPORT_SECONDS = 600  # counting the entries of ten million people takes longer than a request may

Round = tuple[str, Callable[[], int], float]
"""A round of the worker: its name, what it does, and every how many seconds."""


def open_rounds(settings: Settings, services: Services, signer: Signer) -> tuple[Round, ...]:
    """What the worker does for the log beside sealing it: verify, anchor, have it cosigned, write exports."""
    engine, clock = services.engine, services.clock
    anchors = tuple(FolderAnchor(folder) for folder in (settings.log.anchor_dir,) if folder is not None)
    noted = audit_folder(settings.state_dir) / NOTED_CHECKPOINT

    def outside() -> Iterable[str]:
        if noted.exists():
            yield noted.read_text()
        for anchor in anchors:
            try:
                yield anchor.newest() or ""
            except OSError:
                _LOG.warning("an anchor of the log cannot be read: the log is verified without it")

    open_reader = partial(open_engine, settings.database_url, threads=1, statement_seconds=_EXPORT_SECONDS)
    exports = Exports(engine, settings.log.export_dir, clock, open_reader)
    witnesses = tuple(Witness(one.url, _witness_key(one.vkey)) for one in settings.log.witnesses)
    return (
        ("verification", Verification(engine, signer.published, clock, outside).round, 5.0),
        ("anchors", Anchoring(engine, anchors, clock).round, 60.0),
        ("witnesses", Cosigning(engine, witnesses).round, 60.0),
        ("exports", partial(exports.work, signer), 1.0),
        ("old exports", exports.purge, 300.0),
        *_streams(settings, services, signer),
    )


def _streams(settings: Settings, services: Services, signer: Signer) -> Iterable[Round]:
    """A round for each SIEM that is told of the log."""
    origin, to = signer.vkey.name, settings.log.syslog
    places: list[tuple[str, Place]] = []
    if to is not None:
        context = ssl.create_default_context(cafile=to.authorities)
        if to.certificate is not None:
            context.load_cert_chain(to.certificate)
        places.append(("syslog", SyslogOverTls((to.host, to.port), context, socket.gethostname())))
    if settings.log.events_dir is not None:
        places.append(("file", EventFile(settings.log.events_dir)))
    for name, place in places:
        yield f"stream {name}", Streaming(services.engine, name, place, origin, services.clock).round, 1.0


def _witness_key(vkey: str) -> VerifierKey:
    try:
        return read_vkey(vkey, COSIGNATURE)
    except NoteInvalid as error:
        raise SettingsRefused(f"CONSENT_GATEWAY_LOG_WITNESSES holds a vkey that is none: {error}") from error
