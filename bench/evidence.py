"""What the log's evidence costs: sealing, verification and its growth, proofs, exports, the console over it."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from flask.testing import FlaskClient

from consent_gateway.audit.chain import WriterChain
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.export import export
from consent_gateway.audit.live import verify_database
from consent_gateway.audit.log import AuditLog, EntryFilter
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.audit.verify import LogKey, verify_folder
from consent_gateway.console.sessions import Way
from consent_gateway.database import open_engine
from consent_gateway.officers.registry import Role
from consent_gateway.web.app import create_app
from consent_gateway.web.console.guard import COOKIE
from tests.deployment import Deployment

_NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_PEOPLE = 1_000
_BLOCK = 10_000
_PROOFS = 300
_LOOKS = 20
_PAGES = ("/console", "/console/decisions", "/console/log", "/console/log?data_subject=ds_7")


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def evidence_costs(kind: str, deployment: Deployment, sizes: tuple[int, ...]) -> Iterator[str]:
    """A line for each size that the log of a deployment grows to, from what its own start left in it."""
    settings = deployment.settings
    engine, state = open_engine(settings.database_url, threads=2, statement_seconds=3600), settings.state_dir
    signer = open_signer(settings.log_key_file, settings.log_origin)
    sealer, key = Sealer(engine, state, signer, _Clock()), LogKey(signer.published)
    while sealer.seal_once().more:
        pass
    chain, made = WriterChain("wrt_bench"), 0
    for size in sizes:
        sealing = _grown(engine, sealer, chain, made, size)
        made = size
        with tempfile.TemporaryDirectory(prefix="cg-log-", dir=deployment.folder) as folder:
            whole, one = Path(folder) / "whole", Path(folder) / "one"
            verifying = _seconds(verify_database, engine, key)
            writing = _seconds(export, engine, whole, signer, _NOON)
            checking = _seconds(verify_folder, whole, key)
            person = _seconds(export, engine, one, signer, _NOON, EntryFilter(data_subject="ds_7"))
        yield (
            f"{kind}, {size:,} entries: sealed {sealing:,.0f}/s; verified in place {size / verifying:,.0f}/s"
            f" ({verifying:.1f} s), from an export {size / checking:,.0f}/s ({checking:.1f} s);"
            f" exported {size / writing:,.0f}/s; one of {_PEOPLE:,} people in {person:.2f} s;"
            f" inclusion proof {_proof(engine, state, size):.2f} ms"
        )
        yield f"   {_console(deployment, size)}"
    engine.dispose()


def _console(deployment: Deployment, size: int) -> str:
    """Server time of the console's overview and log page, once everything is counted, as a browser asks for them."""
    services = deployment.open()
    try:
        counting = _seconds(services.console.counting.round)
        address = services.issuer.replace("http://", "https://")  # the session's cookie is Secure
        http = create_app(services).test_client()
        officer = services.desk.officers.add(f"bench-{size}", (Role.AUDITOR,))[0].officer_id
        token = services.console.sessions.begin(officer, Way.PASSKEY, None)
        http.set_cookie(COOKIE, token, domain="127.0.0.1", secure=True)
        times = {path: _page(http, address, path) for path in _PAGES}
    finally:
        services.close()
    shown = ", ".join(f"{path} {median:.0f} ms" for path, median in times.items())
    return f"counted in {counting:.1f} s; server time of pages, median of {_LOOKS}: {shown}"


def _page(http: FlaskClient, address: str, path: str) -> float:
    spent = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        answer = http.get(path, base_url=address)
        spent.append(time.perf_counter() - began)
        assert answer.status_code == 200, (path, answer.status_code)
    return statistics.median(spent) * 1000


def _grown(engine: sa.Engine, sealer: Sealer, chain: WriterChain, start: int, end: int) -> float:
    """Entries sealed a second, from the queue."""
    spent = 0.0
    for first in range(start, end, _BLOCK):
        numbers = range(first, min(first + _BLOCK, end))
        leaves = chain.extend([_entry(n).canonical() for n in numbers])
        rows = [{"entry_id": f"e_{n:09}", "entry": leaf, "txid": 0} for n, leaf in zip(numbers, leaves, strict=True)]
        with engine.begin() as connection:
            connection.execute(sa.insert(AUDIT_QUEUE), rows)
        began = time.perf_counter()
        while sealer.seal_once().more:
            pass
        spent += time.perf_counter() - began
    return (end - start) / spent


def _entry(n: int) -> Entry:
    return Entry(
        entry_id=f"e_{n:09}",
        kind=EntryKind.DECISION,
        at=_NOON + timedelta(milliseconds=n),
        caller="web-shop",
        channel="web_shop",
        purpose="customer_support",
        action="read",
        data_subject=f"ds_{n % _PEOPLE}",
        fields=dict.fromkeys(("first_name", "last_name", "city", "email"), ("allow", "contract", "eea.contract")),
        jurisdiction="DE",
        pack="eea@2026.11",
        revision="0123456789abcdef",
        outcome="open",
    )


def _proof(engine: sa.Engine, state: Path, size: int) -> float:
    log = AuditLog(engine, state)
    spent = [_seconds(log.inclusion, f"e_{n:09}") for n in range(0, size, max(1, size // _PROOFS))]
    return statistics.median(spent) * 1000


def _seconds(work: Callable[..., object], *given: object) -> float:
    began = time.perf_counter()
    work(*given)
    return time.perf_counter() - began
