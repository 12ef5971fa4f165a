"""What the log's evidence costs: sealing, verification and its growth, proofs, exports; for reading, not for tests."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from consent_gateway.audit.chain import WriterChain
from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.export import export
from consent_gateway.audit.live import verify_database
from consent_gateway.audit.log import AuditLog, EntryFilter
from consent_gateway.audit.sealer import Sealer
from consent_gateway.audit.signer import open_signer
from consent_gateway.audit.tables import AUDIT_QUEUE
from consent_gateway.audit.verify import LogKey, verify_folder
from consent_gateway.database import METADATA, open_engine

_NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
_PEOPLE = 1_000
_BLOCK = 10_000
_PROOFS = 300


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def evidence_costs(kind: str, url: str, sizes: tuple[int, ...]) -> Iterator[str]:
    """A line for each size that the log grows to."""
    engine = open_engine(url, threads=2, statement_seconds=600)
    METADATA.create_all(engine)
    with tempfile.TemporaryDirectory(prefix="cg-log-") as folder:
        state = Path(folder)
        signer = open_signer(state / "audit" / "log.key", "bench.example/log")
        sealer, key = Sealer(engine, state, signer, _Clock()), LogKey(signer.published)
        chain, made = WriterChain("wrt_bench"), 0
        for size in sizes:
            sealing = _grown(engine, sealer, chain, made, size)
            made = size
            verifying = _seconds(verify_database, engine, key)
            whole, one = state / f"whole-{size}", state / f"one-{size}"
            writing = _seconds(export, engine, whole, signer, _NOON)
            checking = _seconds(verify_folder, whole, key)
            person = _seconds(export, engine, one, signer, _NOON, EntryFilter(data_subject="ds_7"))
            yield (
                f"{kind}, {size:,} entries: sealed {sealing:,.0f}/s; verified in place {size / verifying:,.0f}/s"
                f" ({verifying:.1f} s), from an export {size / checking:,.0f}/s; exported {size / writing:,.0f}/s;"
                f" one of {_PEOPLE:,} people in {person:.2f} s; inclusion proof {_proof(engine, state, size):.2f} ms"
            )
    engine.dispose()


def _grown(engine: sa.Engine, sealer: Sealer, chain: WriterChain, start: int, end: int) -> float:
    """Entries sealed a second, from the queue."""
    spent = 0.0
    for first in range(start, end, _BLOCK):
        numbers = range(first, min(first + _BLOCK, end))
        leaves = chain.extend([_entry(n).canonical() for n in numbers])
        rows = [{"entry_id": f"e_{n}", "entry": leaf, "txid": 0} for n, leaf in zip(numbers, leaves, strict=True)]
        with engine.begin() as connection:
            connection.execute(sa.insert(AUDIT_QUEUE), rows)
        began = time.perf_counter()
        while sealer.seal_once().more:
            pass
        spent += time.perf_counter() - began
    return (end - start) / spent


def _entry(n: int) -> Entry:
    return Entry(
        entry_id=f"e_{n}",
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
    spent = [_seconds(log.inclusion, f"e_{n}") for n in range(0, size, max(1, size // _PROOFS))]
    return statistics.median(spent) * 1000


def _seconds(work: Callable[..., object], *given: object) -> float:
    began = time.perf_counter()
    work(*given)
    return time.perf_counter() - began
