"""The most restrictive merge of several people's facts, for an identifier that a household shares; pure."""

from collections.abc import Sequence
from datetime import date, datetime

from consent_gateway.vocabulary import FREQUENCIES, Choice, ChoiceStatus, Facts

DIFFERING_NOTICES = "differing"
"""Stands where people agreed to different versions of a notice; no policy lists it as accepted."""

_GRANTS = frozenset({ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT})
_UNANSWERED = frozenset({ChoiceStatus.UNKNOWN, ChoiceStatus.REQUESTED})


def merge_restrictive(holders: Sequence[Facts]) -> Facts:
    """Facts under which nothing is open that is not open for each of `holders` alone; at least one is needed.

    People who live under different laws have no jurisdiction together, which denies everything.
    """
    if len(holders) == 1:
        return holders[0]
    places = {each.jurisdiction for each in holders}
    purposes = dict.fromkeys(purpose for each in holders for purpose in each.choices)
    pending = [each for each in holders if each.erasure_pending]
    return Facts(
        jurisdiction=places.pop() if len(places) == 1 else None,
        choices={key: merge_choices([each.choices.get(key) or Choice(key) for each in holders]) for key in purposes},
        minor_born=_latest_birth([each.minor_born for each in holders]),
        parental_authorisation=all(each.parental_authorisation for each in holders),
        restricted=any(each.restricted for each in holders),
        limited=any(each.limited for each in holders),
        gpc=any(each.gpc for each in holders),
        member=all(each.member for each in holders),
        erasure_pending=bool(pending),
        erased=any(each.erased for each in holders),
        # A hold keeps some purposes open while an erasure waits, so it counts only if it covers every such erasure.
        legal_hold=all(each.legal_hold for each in pending) if pending else any(each.legal_hold for each in holders),
    )


def merge_choices(choices: Sequence[Choice]) -> Choice:
    """One purpose's choices of several people as the most closed one."""
    status = _status({choice.status for choice in choices})
    deciding = next((choice for choice in choices if choice.status is status), choices[0])
    paused = max(choices, key=lambda each: (each.paused_until is not None, each.paused_until))
    return Choice(
        purpose=deciding.purpose,
        status=status,
        given_at=_earliest([choice.given_at for choice in choices]),  # the oldest answer expires first
        valid_until=_earliest([choice.valid_until for choice in choices]),
        notice_version=_notice_version(choices),
        objected=any(choice.objected for choice in choices),
        opted_out=any(choice.opted_out for choice in choices),
        opted_in_again=all(choice.opted_in_again for choice in choices),
        unsubscribed=any(choice.unsubscribed for choice in choices),
        conditions=frozenset.intersection(*(choice.conditions for choice in choices)),
        event_id=deciding.event_id,
        paused_until=paused.paused_until,
        paused_at=paused.paused_at,
        pause_event=paused.pause_event,
        frequency=_rarest([choice.frequency for choice in choices]),
    )


def _status(found: set[ChoiceStatus]) -> ChoiceStatus:
    for refusal in (ChoiceStatus.WITHDRAWN, ChoiceStatus.REFUSED):
        if refusal in found:
            return refusal
    if len(found) == 1:
        return next(iter(found))
    if found <= _GRANTS:
        return ChoiceStatus.GRANTED
    if found <= _UNANSWERED:
        return ChoiceStatus.UNKNOWN
    # A silence beside a grant that may have expired, or two grounds of different laws: no status that is open
    # anywhere is sure to be closed wherever one of these is.
    return ChoiceStatus.REFUSED


def _rarest(wanted: Sequence[str | None]) -> str | None:
    return max((each for each in wanted if each is not None), key=FREQUENCIES.index, default=None)


def _earliest(moments: Sequence[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _latest_birth(days: Sequence[date | None]) -> date | None:
    return max((day for day in days if day is not None), default=None)


def _notice_version(choices: Sequence[Choice]) -> str | None:
    versions = {choice.notice_version for choice in choices if choice.notice_version is not None}
    unnamed = any(choice.status in _GRANTS and choice.notice_version is None for choice in choices)
    if len(versions) > 1 or (versions and unnamed):  # one who agreed to no known text is not covered by another's
        return DIFFERING_NOTICES
    return versions.pop() if versions else None
