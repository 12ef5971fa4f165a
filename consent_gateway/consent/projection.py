"""Folds consent events into where a person stands; pure, and the only place that says what an event does.

Events are folded in the order of their positions. Two rules keep a late record from opening anything: a restricting
event always takes effect, and an opening event lifts nothing that was closed after it occurred. So an old grant
that a mail tool sends again does not undo the withdrawal that followed it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from types import MappingProxyType

from consent_gateway.vocabulary import (
    OPENING,
    PERSON_WIDE,
    Choice,
    ChoiceStatus,
    ConsentEvent,
    EventKind,
    Facts,
)

FLAGS = (
    "parental_authorisation",
    "restricted",
    "limited",
    "gpc",
    "member",
    "erasure_pending",
    "erased",
    "legal_hold",
)
"""The person-wide states, named as in `Facts`."""

_SETS = MappingProxyType(
    {
        EventKind.GPC: "gpc",
        EventKind.LIMIT: "limited",
        EventKind.RESTRICT: "restricted",
        EventKind.ERASURE_REQUEST: "erasure_pending",
        EventKind.ERASED: "erased",
        EventKind.LEGAL_HOLD: "legal_hold",
        EventKind.PARENTAL_AUTHORISATION: "parental_authorisation",
        EventKind.JOIN_PROGRAMME: "member",
    }
)
_CLEARS = MappingProxyType(
    {
        EventKind.LIFT_LIMIT: "limited",
        EventKind.LIFT_RESTRICTION: "restricted",
        EventKind.ERASURE_CANCEL: "erasure_pending",
        EventKind.LIFT_LEGAL_HOLD: "legal_hold",
        EventKind.PARENTAL_REVOCATION: "parental_authorisation",
        EventKind.LEAVE_PROGRAMME: "member",
    }
)
_GIVEN = frozenset(
    {ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT, ChoiceStatus.SOFT_OPT_IN, ChoiceStatus.IMPLIED}
)
# A purchase or a sign-up form makes these; they say nothing against what the person answered before.
_LESS = frozenset({EventKind.PAUSE, EventKind.RESUME, EventKind.FREQUENCY})
_WEAK = frozenset({ChoiceStatus.UNKNOWN, ChoiceStatus.REQUESTED, ChoiceStatus.SOFT_OPT_IN, ChoiceStatus.IMPLIED})


@dataclass(frozen=True, slots=True)
class PersonState:
    """What all events of one person up to `position` come to. `closed` and `flags_closed`: latest restricting times."""

    position: int = 0
    flags: frozenset[str] = frozenset()
    choices: Mapping[str, Choice] = field(default_factory=dict)
    closed: Mapping[str, datetime] = field(default_factory=dict)  # by purpose
    flags_closed: Mapping[str, datetime] = field(default_factory=dict)  # by flag

    def facts(self, data_subject: str, jurisdiction: str | None, minor_born: date | None) -> Facts:
        """The state as facts of a decision."""
        held = dict.fromkeys(self.flags, True)
        return Facts(
            jurisdiction=jurisdiction,
            choices=self.choices,
            minor_born=minor_born,
            data_subject=data_subject,
            **held,
        )


def project(events: Iterable[ConsentEvent]) -> PersonState:
    """The state after `events`, which are all of one person and in order of position."""
    state = PersonState()
    for event in events:
        state = apply(state, event)
    return state


def apply(state: PersonState, committed: ConsentEvent) -> PersonState:
    """The state after one more event."""
    state = replace(state, position=committed.position)
    kind = committed.event.kind
    if "erased" in state.flags and kind in OPENING:
        return state  # the ledger refuses these; were one there, it would open nothing
    if kind in PERSON_WIDE:
        return _apply_flag(state, committed)
    return _apply_choice(state, committed)


def _moment(committed: ConsentEvent) -> datetime:
    """When the event occurred, but never later than it was recorded: a channel's fast clock gives it no lead."""
    return min(committed.event.occurred_at, committed.recorded_at)


def _apply_flag(state: PersonState, committed: ConsentEvent) -> PersonState:
    kind, moment = committed.event.kind, _moment(committed)
    setting = kind in _SETS
    flag = _SETS[kind] if setting else _CLEARS[kind]
    closed = state.flags_closed.get(flag)
    if kind in OPENING:
        if closed is not None and moment <= closed:
            return state
        flags_closed = state.flags_closed
    else:
        flags_closed = {**state.flags_closed, flag: moment if closed is None else max(closed, moment)}
    flags = state.flags | {flag} if setting else state.flags - {flag}
    if kind is EventKind.ERASED:
        flags -= {"erasure_pending"}
    return replace(state, flags=flags, flags_closed=flags_closed)


def _apply_choice(state: PersonState, committed: ConsentEvent) -> PersonState:
    purpose, kind, moment = committed.event.purpose, committed.event.kind, _moment(committed)
    before = state.choices.get(purpose) or Choice(purpose)
    if kind in _LESS:
        after = _less(before, committed)
        return state if after is before else replace(state, choices={**state.choices, purpose: after})
    closed = state.closed.get(purpose)
    if kind is EventKind.REQUEST or kind in OPENING:
        if closed is not None and moment <= closed:  # a tie stays closed: it may be an old grant sent again
            return state
        if before.status in _GIVEN and before.given_at is not None and moment < before.given_at:
            return state  # an older answer than the one that stands
        after = _opened(before, committed)
        return state if after is before else replace(state, choices={**state.choices, purpose: after})
    # A grant that stood until now is over, even where the withdrawal is dated before it: it must not work again.
    latest = max(each for each in (moment, closed, before.given_at) if each is not None)
    return replace(
        state,
        choices={**state.choices, purpose: _closed(before, committed)},
        closed={**state.closed, purpose: latest},
    )


def _less(before: Choice, committed: ConsentEvent) -> Choice:
    """The choice paused, resumed or with another frequency; the answer it rests on stays what it was."""
    kind, moment, event_id = committed.event.kind, _moment(committed), committed.event_id
    if kind is EventKind.RESUME:
        if before.paused_at is None or moment <= before.paused_at:
            return before
        return replace(before, paused_until=None, pause_event=None)
    before = before if before.event_id is not None else replace(before, event_id=event_id)
    if kind is EventKind.FREQUENCY:
        return replace(before, frequency=committed.event.frequency)
    until = committed.event.valid_until or moment
    paused_at = moment if before.paused_at is None else max(before.paused_at, moment)
    if before.paused_until is not None and before.paused_until >= until:  # of two pauses, the longer one binds
        return replace(before, paused_at=paused_at)
    return replace(before, paused_until=until, paused_at=paused_at, pause_event=event_id)


def _opened(before: Choice, committed: ConsentEvent) -> Choice:
    kind = committed.event.kind
    if kind is EventKind.REQUEST:
        if before.status is not ChoiceStatus.UNKNOWN:
            return before
        return _answered(before, committed, ChoiceStatus.REQUESTED)
    if kind in (EventKind.SOFT_OPT_IN, EventKind.IMPLIED):
        if before.status not in _WEAK:
            return before
        status = ChoiceStatus.SOFT_OPT_IN if kind is EventKind.SOFT_OPT_IN else ChoiceStatus.IMPLIED
        return _answered(before, committed, status)
    status = ChoiceStatus.GRANTED_EXPLICIT if kind is EventKind.GRANT_EXPLICIT else ChoiceStatus.GRANTED
    after = replace(_answered(before, committed, status), objected=False, unsubscribed=False)
    if kind is EventKind.OPT_IN_AGAIN:
        return replace(after, opted_out=False, opted_in_again=True, event_id=committed.event_id)
    return after  # an opt-out stands until the two steps of OPT_IN_AGAIN (11 CCR 7028)


def _closed(before: Choice, committed: ConsentEvent) -> Choice:
    kind, event_id = committed.event.kind, committed.event_id
    if kind is EventKind.OBJECT:
        return replace(before, objected=True, opted_in_again=False, event_id=event_id)
    if kind is EventKind.OPT_OUT:
        return replace(before, opted_out=True, opted_in_again=False, event_id=event_id)
    if kind is EventKind.UNSUBSCRIBE:
        return replace(before, unsubscribed=True, opted_in_again=False, event_id=event_id)
    status = ChoiceStatus.REFUSED if kind is EventKind.REFUSE else ChoiceStatus.WITHDRAWN
    return replace(_answered(before, committed, status), opted_in_again=False, event_id=event_id)


def _answered(before: Choice, committed: ConsentEvent, status: ChoiceStatus) -> Choice:
    """The choice with a new answer. While an opt-out or objection stands, the choice still rests on that event."""
    standing = before.opted_out or before.objected or before.unsubscribed
    lifted = not before.opted_out and status in (ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT)
    return replace(
        before,
        status=status,
        given_at=_moment(committed),
        valid_until=committed.event.valid_until,
        notice_version=committed.event.evidence.notice_version,
        conditions=committed.event.evidence.conditions,
        event_id=before.event_id if standing and not lifted else committed.event_id,
    )
