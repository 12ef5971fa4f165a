"""What a request changes at once, through the consent room: opt-out, limit, objection, restriction, pending erasure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from consent_gateway.consent.choices import ADMINISTER_SCOPE, WRITE_SCOPE, NewChoice
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy.documents import Purpose
from consent_gateway.rights.requests import Via
from consent_gateway.vocabulary import ANY_PURPOSE, Caller, EventKind

AT_ONCE: Mapping[str, EventKind] = MappingProxyType(
    {
        "opt_out_sale_share": EventKind.OPT_OUT,
        "limit_sensitive": EventKind.LIMIT,
        "object": EventKind.OBJECT,
        "restrict": EventKind.RESTRICT,
    }
)
"""Rights that take effect when they are received: nobody decides about them first."""

CROSS_CONTEXT = "cross_context"
_HOW = MappingProxyType(
    {Via.PAGE: "preference_page", Via.API: "api", Via.AGENT: "spoken", Via.AUTHORISED_AGENT: "api", Via.POST: "paper"}
)


class Records(Protocol):
    """Records a choice; `consent.Choices` does."""

    def record(self, caller: Caller, choice: NewChoice) -> object:
        """Record one choice, binding every later decision."""
        ...


class Effects:
    """Carries out what takes effect at once. `purposes` are the policy's, `clients` in whose name it is recorded."""

    def __init__(self, choices: Records, purposes: Mapping[str, Purpose]) -> None:
        self._choices = choices
        self._purposes = purposes
        self._shared = tuple(key for key, purpose in purposes.items() if CROSS_CONTEXT in purpose.groups)

    def known(self, purposes: Iterable[str]) -> bool:
        """Whether the policy has all these purposes."""
        return set(purposes) <= set(self._purposes)

    def apply(
        self, right: str, person: PersonRef, by: Caller, via: Via, at: datetime, reference: str, purposes: Sequence[str]
    ) -> None:
        """Make the right bind. What was asked before is recorded again and changes nothing."""
        kind = AT_ONCE[right]
        concerned = self._shared if kind is EventKind.OPT_OUT else tuple(purposes) or (ANY_PURPOSE,)
        for purpose in concerned if kind in (EventKind.OPT_OUT, EventKind.OBJECT) else (ANY_PURPOSE,):
            self._record(person, kind, by, via, at, reference, purpose)

    def erasure(self, data_subject: str, by: Caller, via: Via, at: datetime, reference: str, *, pending: bool) -> None:
        """Close every read while an erasure is asked for and proved; open them again where it is not to be."""
        kind = EventKind.ERASURE_REQUEST if pending else EventKind.ERASURE_CANCEL
        self._record(PersonRef(data_subject=data_subject), kind, by, via, at, reference, ANY_PURPOSE)

    def _record(
        self, person: PersonRef, kind: EventKind, by: Caller, via: Via, at: datetime, reference: str, purpose: str
    ) -> None:
        choice = NewChoice(person, kind, at, _HOW[via], purpose=purpose, reference=reference)
        self._choices.record(by, choice)


def acting(client_id: str, channel: str) -> Caller:
    """In whose name this room records: it needs no scope of the caller's, for the right is the person's."""
    scopes = frozenset({WRITE_SCOPE, ADMINISTER_SCOPE})
    return Caller(client_id, channel, frozenset(), frozenset(), scopes)
