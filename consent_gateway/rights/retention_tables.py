"""Table of the daily runs of retention: when each began and ended, and what it came to."""

import sqlalchemy as sa

from consent_gateway.database import METADATA

RETENTION_RUNS = sa.Table(
    "retention_runs",
    METADATA,
    sa.Column("day", sa.String(10), primary_key=True),  # UTC
    sa.Column("dry_run", sa.Boolean, primary_key=True),
    sa.Column("begun_at", sa.BigInteger, nullable=False),
    sa.Column("lease_until", sa.BigInteger, nullable=False),  # while a worker carries it out
    sa.Column("finished_at", sa.BigInteger),
    sa.Column("failed", sa.String(64)),  # the code of the error that ended the last try
    sa.Column("report", sa.Text),  # JSON: counts by schedule
)
