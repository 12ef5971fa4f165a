"""What a browser's signal or a consent string asks of the gateway, and what it contradicts; pure, records nothing.

A signal only closes. That it is absent, or says that a person did not object, opens nothing and takes nothing back
(11 CCR 7025(c)(5)).
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from consent_gateway.consent.bits import Malformed
from consent_gateway.consent.gpp import UsSection, read_gpp
from consent_gateway.consent.projection import PersonState, apply
from consent_gateway.consent.tcf import TcString, read_tcf
from consent_gateway.errors import FieldFault, InputRefused
from consent_gateway.vocabulary import ANY_PURPOSE, ChoiceStatus, ConsentEvent, EventKind

SIGNAL = "signal"  # the `how` of every event that a signal makes

_USP = re.compile(r"1[YN-][YN-][YN-]")
_USP_OPTED_OUT = 2  # the place of the character that says whether the person opted out of sale
_TCF_ADVERTISING = frozenset({3, 4})  # create profiles for personalised advertising, and use them
_GIVEN = frozenset({ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT})


def gpc_sent(header: str | None) -> bool:
    """Whether the header `Sec-GPC` says that the visitor objects: of several values one exact `1` is enough."""
    return header is not None and any(part.strip() == "1" for part in header.split(","))


@dataclass(frozen=True, slots=True)
class Told:
    """A signal as it was read. `tcf` is what a TC string says, `us` what the US sections say."""

    gpc: bool = False
    us: tuple[UsSection, ...] = ()
    usp_opted_out: bool | None = None
    tcf: TcString | None = None
    reference: str = "sec-gpc"


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing a signal asks for: an event of this kind, for one purpose or the whole person."""

    kind: EventKind
    purpose: str = ANY_PURPOSE


@dataclass(frozen=True, slots=True)
class Contradiction:
    """An earlier choice that a signal went against: its purpose and event, and the event and time of the signal."""

    purpose: str
    choice: str
    signal: str
    since: datetime


def read_signal(
    *, gpc: str | None = None, gpp: str | None = None, tcf: str | None = None, usp: str | None = None
) -> Told:
    """What the values sent say, together. Raises `InputRefused` naming the one that is not understood, quoting none.

    `gpc` is the value of `Sec-GPC`, `gpp` a GPP string, `tcf` a TC string, `usp` a US Privacy string.
    """
    given = {name: text for name, text in (("gpc", gpc), ("gpp", gpp), ("tcf", tcf), ("usp", usp)) if text is not None}
    if not given:
        raise InputRefused("no signal came with the call", (FieldFault("/gpc", "send one of gpc, gpp, tcf, usp"),))
    if gpc is not None and gpc not in ("0", "1"):
        raise _refused("gpc", "it is neither `1` nor `0`")
    place = "gpp"
    try:
        parts = None if gpp is None else read_gpp(gpp)
        if parts is not None and ((parts.tcf and tcf) or (parts.usp and usp)):
            raise Malformed("it holds a section that was sent beside it, too: send it once")
        place, tcf = ("gpp", parts.tcf) if parts is not None and parts.tcf else ("tcf", tcf)
        read = None if tcf is None else read_tcf(tcf)
        place, usp = ("gpp", parts.usp) if parts is not None and parts.usp else ("usp", usp)
        opted_out = None if usp is None else _usp(usp)
    except Malformed as error:
        raise _refused(place, str(error)) from error
    us = () if parts is None else parts.us
    sent = gpc == "1" or any(section.gpc for section in us)
    return Told(sent, us, opted_out, read, _reference(given))


def asks(told: Told, cross_context: Collection[str]) -> tuple[Asked, ...]:
    """What the signal asks for. `cross_context` are the purposes that sell or share data for advertising.

    An opt-out of sale, of sharing or of targeted advertising is taken as one of all of these: whoever says no to one
    is not sold or shared by another name.
    """
    found: list[Asked] = []
    if told.gpc:
        found.append(Asked(EventKind.GPC))
    if any(section.sensitive_refused for section in told.us):
        found.append(Asked(EventKind.LIMIT))
    if told.usp_opted_out or any(section.opted_out for section in told.us):
        found += [Asked(EventKind.OPT_OUT, purpose) for purpose in sorted(cross_context)]
    if told.tcf is not None and not told.tcf.purposes >= _TCF_ADVERTISING:
        found += [Asked(EventKind.REFUSE, purpose) for purpose in sorted(cross_context)]
    return tuple(found)


def contradictions(events: Iterable[ConsentEvent], cross_context: Collection[str]) -> tuple[Contradiction, ...]:
    """The earlier choices that signals went against, from all events of one person in order; the latest of each."""
    state, found = PersonState(), {}
    for committed in events:
        event = committed.event
        if event.evidence.how == SIGNAL:
            against = sorted(cross_context) if event.kind is EventKind.GPC else [event.purpose]
            for purpose in against:
                choice = state.choices.get(purpose)
                if choice is not None and choice.status in _GIVEN and choice.event_id and not choice.opted_out:
                    found[purpose] = Contradiction(purpose, choice.event_id, committed.event_id, committed.recorded_at)
        state = apply(state, committed)
    return tuple(found.values())


def first_of(events: Sequence[ConsentEvent], kind: EventKind) -> ConsentEvent | None:
    """The first event of a kind, in the order given; None if there is none."""
    return next((each for each in events if each.event.kind is kind), None)


def _usp(text: str) -> bool:
    if _USP.fullmatch(text) is None:
        raise Malformed("it is no US Privacy string of version 1")
    return text[_USP_OPTED_OUT] == "Y"


def _reference(given: dict[str, str]) -> str:
    """What was sent, by name, and a digest by which whoever kept the strings can show them."""
    if set(given) == {"gpc"}:
        return "sec-gpc"
    digest = hashlib.sha256("\n".join(f"{name}={given[name]}" for name in sorted(given)).encode()).hexdigest()
    return f"{'+'.join(sorted(given))}:sha256-{digest}"


def _refused(name: str, what: str) -> InputRefused:
    return InputRefused(f"the signal `{name}` is refused: {what}", (FieldFault(f"/{name}", what),))
