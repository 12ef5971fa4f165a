"""The reports by name, and the one way to make them: recorded as an act before anything is told; renders nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

import sqlalchemy as sa

from consent_gateway.audit.entry import Entry, EntryKind
from consent_gateway.audit.recorder import Recorder
from consent_gateway.errors import InputRefused, NotFound
from consent_gateway.ids import new_id
from consent_gateway.policy import Policies
from consent_gateway.ports import Clock
from consent_gateway.reports import (
    breach,
    consents,
    policy_history,
    processing,
    recipients,
    retention,
    rights_metrics,
    withdrawals,
)
from consent_gateway.reports.model import Asked, Report
from consent_gateway.reports.source import Source, open_source

MOST_ENTRIES = 250_000
"""How many entries of the log one report of a web process may read; a command may read all of them."""

MOST_SAMPLED = 500

Make = Callable[[Source, Asked], Report]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of report; `takes` are the members of what is asked that count for it."""

    name: str
    title: str
    make: Make
    takes: tuple[str, ...]


_PERIOD = ("since", "until")
_KINDS = (
    Kind(processing.NAME, processing.TITLE, processing.processing, (*_PERIOD, "caller")),
    Kind(consents.NAME, consents.TITLE, consents.consents, (*_PERIOD, "data_subject", "sample", "seed")),
    Kind(rights_metrics.NAME, rights_metrics.TITLE, rights_metrics.rights, (*_PERIOD, "regime")),
    Kind(withdrawals.NAME, withdrawals.TITLE, withdrawals.withdrawals, (*_PERIOD, "data_subject")),
    Kind(breach.NAME, breach.TITLE, breach.breach, (*_PERIOD, "caller", "key_class", "aware_at")),
    Kind(retention.NAME, retention.TITLE, retention.retention, (*_PERIOD, "data_subject")),
    Kind(policy_history.NAME, policy_history.TITLE, policy_history.policy_history, _PERIOD),
    Kind(recipients.NAME, recipients.TITLE, recipients.recipients, _PERIOD),
)
REPORTS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _KINDS})
"""Every report by name."""


def kind_of(name: str, asked: Asked) -> Kind:
    """The kind of this name. Raises `NotFound`, and `InputRefused` for what it does not take or cannot be."""
    kind = REPORTS.get(name)
    if kind is None:
        raise NotFound(f"there is no report `{name[:32]}`; known are {', '.join(REPORTS)}")
    surplus = sorted(set(asked.as_json()) - set(kind.takes))
    if surplus:
        raise InputRefused(f"the report `{name}` does not take `{surplus[0]}`; it takes {', '.join(kind.takes)}")
    if asked.since is not None and asked.until is not None and asked.since >= asked.until:
        raise InputRefused("the period ends before it begins: give `since` before `until`")
    if asked.sample is not None and not 0 < asked.sample <= MOST_SAMPLED:
        raise InputRefused(f"a sample is of 1 to {MOST_SAMPLED} people")
    if asked.data_subject is not None and (asked.sample is not None or asked.seed is not None):
        raise InputRefused("name one person or draw a sample, not both")
    return kind


def make(source: Source, name: str, asked: Asked) -> Report:
    """The report of this name. The act is to be recorded by whoever calls. Raises as `kind_of`."""
    return kind_of(name, asked).make(source, asked)


def entry_of(entry_id: str, name: str, asked: Asked, by: str | None, now: datetime) -> Entry:
    """The entry of making a report: its name and what was asked, which holds ids and times alone."""
    detail = {"report": name, **{key: str(value) for key, value in asked.as_json().items()}}
    person = detail.pop("data_subject", None)
    return Entry(entry_id, EntryKind.EXPORT, now, caller=by, action="report", data_subject=person, detail=detail)


class Reports:
    """Makes reports for officers. Safe to share between threads."""

    def __init__(
        self, engine: sa.Engine, policies: Policies, recorder: Recorder, clock: Clock, most: int | None = MOST_ENTRIES
    ) -> None:
        self._engine = engine
        self._policies = policies
        self._recorder = recorder
        self._clock = clock
        self._most = most

    def make(self, name: str, asked: Asked, by: str) -> Report:
        """The report, once that it is made stands in the log. Raises as `kind_of`, and where a database is away."""
        kind = kind_of(name, asked)
        now = self._clock.now()
        self._recorder.record(entry_of(new_id("rep", now), name, asked, by, now))
        with open_source(self._engine, self._policies, now, most=self._most) as source:
            return kind.make(source, asked)
