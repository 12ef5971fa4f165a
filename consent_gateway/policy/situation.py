"""Turns what is known about a person, a request and a recipient into fact bits; the one reader of `Facts`. Pure.

Every doubt falls to the closed side: a grant that is not given yet is none, one whose age is not known where
age matters has expired, a status that is not one of ours is `unknown_state`.
"""

from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from itertools import product
from operator import attrgetter
from types import MappingProxyType

from consent_gateway.policy.documents import Recipient
from consent_gateway.policy.facts import AGES, BIT, FACTS, GROUP, STATUS_BITS, Group, age_bits
from consent_gateway.policy.ir import PlaceParameters
from consent_gateway.vocabulary import ANY_PURPOSE, AccessRequest, Choice, ChoiceStatus, Facts, RecipientRole


def _flags(group: Group) -> tuple[Callable[[object], tuple[bool, ...]], Mapping[tuple[bool, ...], int]]:
    """One getter for all attributes of a group, and the bits of each combination of them."""
    declared = [fact for fact in FACTS if fact.group is group]
    table = {
        values: sum(BIT[fact.name] for fact, held in zip(declared, values, strict=True) if held)
        for values in product((False, True), repeat=len(declared))
    }
    return attrgetter(*(fact.source for fact in declared)), MappingProxyType(table)


_READ_PERSON, _PERSON = _flags(Group.PERSON)
_READ_CHOICE, _CHOICE = _flags(Group.CHOICE)
_CONDITIONS: Mapping[str, int] = MappingProxyType({name: BIT[name] for name in GROUP[Group.CONDITION]})
_UNKNOWN = STATUS_BITS["unknown"]
_UNKNOWN_STATE = STATUS_BITS["unknown_state"]
_EXPIRED = STATUS_BITS["expired"]
_NOTICE_CHANGED = STATUS_BITS["notice_changed"]
_PAUSED = BIT["paused"]
_GPC = BIT["gpc"]
_NO_SAFEGUARD = BIT["no_safeguard"]
_ROLE_BITS = MappingProxyType(
    {
        RecipientRole.CONTROLLER: 0,
        RecipientRole.PROCESSOR: BIT["processor"],
        RecipientRole.THIRD_PARTY: BIT["third_party"],
    }
)
_RESTRICTING_FLAGS = BIT["objected"] | BIT["opted_out"] | BIT["unsubscribed"]
_BY_STATUS: Mapping[str, int] = MappingProxyType({status.value: STATUS_BITS[status.value] for status in ChoiceStatus})
_GRANTS = frozenset({ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT})
_LASTING = _GRANTS | {ChoiceStatus.SOFT_OPT_IN, ChoiceStatus.IMPLIED}
_OLDEST = AGES[0]
_BY_AGE = tuple(age_bits(age) for age in range(_OLDEST))


def months_later(moment: datetime, months: int) -> datetime:
    """The same time of day on the same date some months later; the month's last day where there is no such date."""
    years, month = divmod(moment.month - 1 + months, 12)
    year = moment.year + years
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))


def years_old(born: date, day: date) -> int:
    """Age in completed years; who is born on 29 February is older on 1 March."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def status_bits(
    choice: Choice, now: datetime, parameters: PlaceParameters, accepted_notices: frozenset[str] | None
) -> int:
    """The status of a choice at a moment. `accepted_notices` is None where every version holds."""
    status = choice.status
    bits = _BY_STATUS.get(status, _UNKNOWN_STATE)
    if status not in _LASTING:
        return bits
    given = choice.given_at
    if given is not None and given > now:
        return _UNKNOWN
    if choice.valid_until is not None and choice.valid_until <= now:
        return _EXPIRED
    months = parameters.consent_months
    if status is ChoiceStatus.IMPLIED and parameters.implied_months is not None:
        months = parameters.implied_months
    if months is not None and (given is None or _too_old(given, months, now)):
        return _EXPIRED
    if accepted_notices is not None and status in _GRANTS:
        version = choice.notice_version
        if version not in accepted_notices:
            return _NOTICE_CHANGED
    return bits


def _too_old(given: datetime, months: int, now: datetime) -> bool:
    # No month is shorter than 28 days, which spares most calls the calendar.
    return (now - given).days >= 28 * months and months_later(given, months) <= now


def choice_bits(
    facts: Facts, purpose: str, now: datetime, parameters: PlaceParameters, accepted_notices: frozenset[str] | None
) -> int:
    """Status and flags of the purpose's choice, with what the person refused for every purpose at once."""
    choices = facts.choices
    choice = choices.get(purpose)
    if choice is None:
        bits = _UNKNOWN
    else:
        bits = status_bits(choice, now, parameters, accepted_notices) | _CHOICE[_READ_CHOICE(choice)]
        if choice.paused_until is not None and now < choice.paused_until:
            bits |= _PAUSED
        if choice.conditions:
            bits |= condition_bits(choice.conditions)
    if ANY_PURPOSE in choices:
        bits |= _CHOICE[_READ_CHOICE(choices[ANY_PURPOSE])] & _RESTRICTING_FLAGS
    return bits


def person_bits(facts: Facts, request: AccessRequest, now: datetime) -> int:
    """What holds of the person whatever the purpose, with the signal that came along with the request."""
    bits = _PERSON[_READ_PERSON(facts)]
    if request.gpc:
        bits |= _GPC
    if facts.minor_born is not None:
        age = years_old(facts.minor_born, now.date())
        if age < _OLDEST:
            bits |= _BY_AGE[max(age, 0)]
    return bits


def condition_bits(names: Iterable[str]) -> int:
    """The conditions among the names; a name that is not one of ours opens nothing."""
    bits = 0
    for name in names:
        bits |= _CONDITIONS.get(name, 0)
    return bits


def recipient_bits(recipient: Recipient, home: frozenset[str]) -> int:
    """Role of a recipient, and whether data would go abroad to it without a safeguard."""
    bits = _ROLE_BITS[recipient.role]
    if recipient.safeguard is None and recipient.country not in home:
        bits |= _NO_SAFEGUARD
    return bits
