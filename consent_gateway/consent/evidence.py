"""Says whether a choice comes with the evidence it needs to enter the ledger; pure, records nothing.

Whoever holds a consent must be able to show it (GDPR Art. 7(1)): an opening event says which text was shown, in
which version and language, or refers to the paper or the call where it was given. A restricting event needs none
of that, so that nothing stands between a person and their objection.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import get_args

from consent_gateway.errors import ConsentNotRaised, FieldFault, InputRefused
from consent_gateway.ids import REFERENCE
from consent_gateway.vocabulary import ANY_PURPOSE, FREQUENCIES, OPENING, PERSON_WIDE, EventKind, How, NewConsentEvent

LONGEST_PAUSE = timedelta(days=366)
"""A longer one is an opt-out by another name, and is to be recorded as one."""

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far a channel's clock may run ahead of ours."""

EXPANDABLE = frozenset(
    {EventKind.REFUSE, EventKind.WITHDRAW, EventKind.OBJECT, EventKind.OPT_OUT, EventKind.UNSUBSCRIBE, EventKind.PAUSE}
)
"""Kinds that a person may say of everything at once; all of them restrict."""

SUFFICES: Mapping[How, str] = MappingProxyType(
    {
        "web_form": "the text shown (notice, version, language and its hash), the channel and the time",
        "app_form": "the text shown (notice, version, language and its hash), the channel and the time",
        "preference_page": "the text shown (notice, version, language and its hash) and the time; a page of ours",
        "api": "the text shown (notice, version, language and its hash), and the client that says so",
        "spoken": "who heard it (agent) and the version of the script read out; the text too, where it is one of ours",
        "paper": "the SHA-256 of the form's image, and its number; the text too, where it is one of ours",
        "import": "what the former system holds: its reference, notice and version as brought over",
        "signal": "the signal itself: it restricts, and opens nothing",
        "mail_link": "the request with the text then shown, and the link mailed for it, both under one reference",
    }
)
"""For each way in which a choice arrives, what shows it (GDPR Art. 7(1)); an opening choice without it is refused."""

_HOWS = frozenset(get_args(How))
_NOTICE_FREE = frozenset({"import", "signal"})  # another system of record, or a signal of its own standard
_BYREFERENCE = frozenset({"spoken", "paper"})
# Acts of the company's officers and facts of a sale: nobody is shown a notice, but there is a file to point to.
_ACTS = frozenset({EventKind.LIFT_RESTRICTION, EventKind.ERASURE_CANCEL, EventKind.LIFT_LEGAL_HOLD, EventKind.IMPLIED})
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


def expand(event: NewConsentEvent, purposes: Sequence[str]) -> tuple[NewConsentEvent, ...]:
    """One event per purpose where a choice was made for all purposes; the event itself otherwise.

    Raises `InputRefused` where the kind cannot be said of all purposes, or `purposes` is empty: a choice that
    would be recorded for nothing is lost.
    """
    if event.purpose != ANY_PURPOSE or event.kind in PERSON_WIDE:
        return (event,)
    if event.kind not in EXPANDABLE:
        raise _refused("/purpose", f"`{event.kind.value}` needs one purpose: name it")
    if not purposes:
        raise _refused("/purpose", f"there is no purpose that `{event.kind.value}` could concern: name one")
    return tuple(replace(event, purpose=purpose) for purpose in sorted(set(purposes)))


def check(event: NewConsentEvent, now: datetime) -> None:
    """Raise `InputRefused` for a malformed event and `ConsentNotRaised` for an opening one without evidence."""
    faults = [*_kind_faults(event), *_time_faults(event, now), *_text_faults(event), *_frequency_faults(event)]
    if faults:
        raise InputRefused(f"the choice is malformed: {faults[0].message}", tuple(faults))
    if event.kind in OPENING:
        _check_opening(event)


def _kind_faults(event: NewConsentEvent) -> list[FieldFault]:
    if event.kind in PERSON_WIDE:
        if event.purpose != ANY_PURPOSE:
            return [FieldFault("/purpose", f"`{event.kind.value}` concerns the whole person: leave the purpose out")]
        return []
    if not _fits(_WORD, event.purpose, 64):
        return [FieldFault("/purpose", f"`{event.kind.value}` needs the key of one purpose")]
    return []


def _time_faults(event: NewConsentEvent, now: datetime) -> list[FieldFault]:
    if event.occurred_at.tzinfo is None:
        return [FieldFault("/occurred_at", "the time has no offset: give it in UTC")]
    faults = []
    if event.occurred_at > now + CLOCK_TOLERANCE:
        faults.append(FieldFault("/occurred_at", "the time lies in the future: check the channel's clock"))
    if event.valid_until is not None and event.valid_until.tzinfo is None:
        faults.append(FieldFault("/valid_until", "the time has no offset: give it in UTC"))
    elif event.kind is EventKind.PAUSE and not _is_pause(event):
        faults.append(FieldFault("/valid_until", f"a pause has an end, at most {LONGEST_PAUSE.days} days later"))
    return faults


def _is_pause(event: NewConsentEvent) -> bool:
    return event.valid_until is not None and timedelta(0) < event.valid_until - event.occurred_at <= LONGEST_PAUSE


def _text_faults(event: NewConsentEvent) -> list[FieldFault]:
    evidence = event.evidence
    faults = []
    if evidence.how not in _HOWS:
        faults.append(FieldFault("/how", f"not a way of recording: use one of {', '.join(sorted(_HOWS))}"))
    for pointer, pattern, value, length in (
        ("/channel", _WORD, evidence.channel, 64),
        ("/recorded_by", REFERENCE, evidence.recorded_by, 64),
        ("/notice", REFERENCE, evidence.notice, 64),
        ("/notice_version", REFERENCE, evidence.notice_version, 32),
        ("/language", _LANGUAGE, evidence.language, 35),
        ("/reference", REFERENCE, evidence.reference, 128),
    ):
        if value is not None and not _fits(pattern, value, length):
            faults.append(FieldFault(pointer, f"at most {length} characters of the kind an identifier has"))
    if len(evidence.conditions) > 20 or not all(_fits(_WORD, name, 64) for name in evidence.conditions):
        faults.append(FieldFault("/conditions", "at most 20 names of conditions"))
    return faults


def _frequency_faults(event: NewConsentEvent) -> list[FieldFault]:
    wanted = FREQUENCIES if event.kind is EventKind.FREQUENCY else (None,)
    return (
        []
        if event.frequency in wanted
        else [FieldFault("/frequency", f"for `frequency` alone, one of {', '.join(FREQUENCIES)}")]
    )


def _fits(pattern: re.Pattern[str], value: str, length: int) -> bool:
    return len(value) <= length and pattern.fullmatch(value) is not None


def _check_opening(event: NewConsentEvent) -> None:
    evidence = event.evidence
    if evidence.how in _NOTICE_FREE:
        return
    if evidence.notice and evidence.notice_version and evidence.language:
        return
    if evidence.reference and (evidence.how in _BYREFERENCE or event.kind in _ACTS):
        return
    raise ConsentNotRaised(
        f"`{event.kind.value}` needs the evidence of what the person was shown: give `notice`, `notice_version` and"
        " `language`, or for a spoken or paper choice a `reference`"
    )


def _refused(pointer: str, message: str) -> InputRefused:
    return InputRefused(message, (FieldFault(pointer, message),))
