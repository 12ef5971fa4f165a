"""Builds the background worker and runs its rounds; decides nothing."""

import logging
import threading
from collections.abc import Callable

from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.errors import GatewayError
from consent_gateway.propagation.delivering import Deliverer
from consent_gateway.propagation.outbox import purge_parting_names
from consent_gateway.settings import Settings
from consent_gateway.tracing import NO_TRACER, Tracer
from consent_gateway.wiring.evidence import Round, open_rounds
from consent_gateway.wiring.outward import open_deliverer
from consent_gateway.wiring.services import Services, open_services
from consent_gateway.wiring.telemetry import metric_rounds, open_telemetry

_LOG = logging.getLogger(__name__)


_SEAL_SECONDS = 1.0


_ROUND_SECONDS = 300.0


_MAIL_SECONDS = 1.0


_COUNT_SECONDS = 2.0


_AGENTS_SECONDS = 2.0


class Background:
    """The background worker: seals, delivers changes, finishes erasures, sends mail, purges what has expired."""

    def __init__(
        self,
        sealer: Sealer,
        deliverer: Deliverer,
        rounds: tuple[Callable[[], int], ...],
        mail: Callable[[], int],
        evidence: tuple[Round, ...] = (),
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._sealer = sealer
        self._deliverer = deliverer
        self._tracer = tracer
        beside = ((name, (work,), seconds) for name, work, seconds in evidence)
        self._beside = (("upkeep", rounds, _ROUND_SECONDS), ("mail", (mail,), _MAIL_SECONDS), *beside)

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop. Raises `LogDamaged` rather than seal onto a log that does not verify."""
        threads = [
            threading.Thread(target=_repeat, args=(rounds, seconds, stop), name=name, daemon=True)
            for name, rounds, seconds in self._beside
        ]
        threads.append(threading.Thread(target=self._deliverer.run, args=(stop,), name="deliver", daemon=True))
        for thread in threads:
            thread.start()
        self._sealer.run(stop, _SEAL_SECONDS)
        for thread in threads:
            thread.join()
        self._tracer.close()


def _repeat(rounds: tuple[Callable[[], int], ...], seconds: float, stop: threading.Event) -> None:
    while True:  # at once when the worker starts, for it may have been killed in the middle of something
        for each in rounds:
            try:
                each()
            except GatewayError:
                _LOG.exception("a round of the background worker failed and will be tried again")
        if stop.wait(seconds):
            return


def open_background(settings: Settings) -> Background:
    """The background worker over databases that are there already."""
    tracer = open_telemetry(settings)
    services = open_services(settings, tracer=tracer)
    purges = (
        services.tokens.purge,
        services.replay.purge,
        services.idempotency.purge,
        services.limits.purge,
        lambda: purge_parting_names(services.engine, services.clock.now()),
        *services.desk.purges,
        *services.customers.purges,
        *services.erasure_desk.purges,
        *services.rights.purges,
        *services.console.purges,
    )
    deliverer = open_deliverer(services.engine, services.clock, services.outward, settings, tracer)
    rounds = (services.shredding.resume, services.erasure_desk.erasing.resume, *services.rights.resumes, *purges)
    evidence = open_rounds(settings, services, open_signer(settings.log_key_file, settings.log_origin))
    beside = (*evidence, ("counting", services.console.counting.round, _COUNT_SECONDS))
    beside = (*beside, *metric_rounds(settings, services.metrics, services.clock))
    if services.rights.daily is not None:  # on a thread of its own: it may take hours
        beside = (*beside, ("retention", services.rights.daily.round, _ROUND_SECONDS))
    if services.agents is not None:
        told = ("agents", services.agents.callbacks.round, _AGENTS_SECONDS)
        beside, rounds = (*beside, told), (*rounds, services.agents.protocol.purge)
    sealer, mail = open_sealer(settings, services), services.customers.post.send_due
    return Background(sealer, deliverer, rounds, mail, beside, tracer)


def open_sealer(settings: Settings, services: Services) -> Sealer:
    """The sealer of the audit log; only one seals at a time, whoever holds the lock."""
    signer = open_signer(settings.log_key_file, settings.log_origin)
    return Sealer(services.engine, settings.state_dir, signer, services.clock)
