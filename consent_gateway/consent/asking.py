"""Says when a person who said no may be asked again; pure, and the only place that knows.

Whoever refused, withdrew, objected, opted out or unsubscribed is left alone for the months of the law's pack
(`reask_months`): six in the EU and UK, twelve in California (11 CCR 7028). Where the packs name no time they are never
asked again; they may still change their mind themselves at any moment, which this does not touch.
"""

from datetime import datetime, timedelta

from consent_gateway.consent.projection import PersonState
from consent_gateway.policy.documents import Purpose
from consent_gateway.policy.situation import months_later
from consent_gateway.vocabulary import Choice, ChoiceStatus

_YES = frozenset({ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT})
_LEFT_ALONE = frozenset({"restricted", "erasure_pending", "erased"})


def may_ask_again(
    purpose: Purpose,
    state: PersonState,
    now: datetime,
    *,
    reask_months: int | None,
    consent_months: int | None,
    accepted: frozenset[str] | None,
) -> bool:
    """Whether the person may be asked about the purpose now.

    `reask_months` and `consent_months` are those of the person's place, `accepted` the versions of the notice that
    hold (None: all). Never while a request is pending, a consent holds or a pause lasts, nor to someone whose data is
    restricted or being erased. A changed meaning asks again like a first question, no sooner than the last no allows.
    """
    if _LEFT_ALONE & state.flags:
        return False
    choice = state.choices.get(purpose.key) or Choice(purpose.key)
    pending = choice.status is ChoiceStatus.REQUESTED and (choice.valid_until is None or now < choice.valid_until)
    if pending or _holds(choice, now, consent_months, accepted):
        return False
    if choice.paused_until is not None and now < choice.paused_until:
        return False
    noes = [state.closed.get(purpose.key)]
    if "cross_context" in purpose.groups and "gpc" in state.flags:
        noes.append(state.flags_closed.get("gpc", now))  # the signal is an opt-out of its own
    last = max((each for each in noes if each is not None), default=None)
    if last is None:
        return True
    return reask_months is not None and now >= _waited(last, reask_months)


def _waited(last: datetime, months: int) -> datetime:
    end = months_later(last, months)
    return end if end.day == last.day else end + timedelta(days=1)  # 31 August and six months: waiting errs late


def _holds(choice: Choice, now: datetime, consent_months: int | None, accepted: frozenset[str] | None) -> bool:
    if choice.status not in _YES or choice.objected or choice.opted_out or choice.unsubscribed:
        return False
    if choice.valid_until is not None and choice.valid_until <= now:
        return False
    given = choice.given_at
    if consent_months is not None and (given is None or months_later(given, consent_months) <= now):
        return False
    return accepted is None or choice.notice_version in accepted
