"""Which letter a step of a request owes its person, in one table; pure: writes none and sends none."""

from enum import StrEnum

from consent_gateway.rights.effects import AT_ONCE
from consent_gateway.rights.states import AWAITS_PERSON, Act, Standing, State

PACKAGED = frozenset({"access", "know", "portability"})
"""Rights whose outcome lies ready to be fetched."""


class Kind(StrEnum):
    """The kinds of letters; closed list, and the names of their templates."""

    ACKNOWLEDGEMENT = "acknowledgement"
    IDENTITY = "identity"
    QUESTION = "question"
    EXTENSION = "extension"
    DENIAL = "denial"
    FULFILMENT = "fulfilment"
    PACKAGE = "package"
    PARTIAL = "partial"
    CANCELLATION = "cancellation"
    EXPIRY = "expiry"


_OF_ACT = {
    Act.ASK_IDENTITY: Kind.IDENTITY,  # it says that the request came, too
    Act.EXTEND: Kind.EXTENSION,
    Act.DENY: Kind.DENIAL,
    Act.CANCEL: Kind.CANCELLATION,
    Act.EXPIRE: Kind.EXPIRY,
}


def owed(right: str, before: Standing, act: Act, after: Standing) -> Kind | None:
    """The letter that a step owes, or None: one step never owes two."""
    if act is Act.BEGIN:  # of what is carried out as it comes, the letter that it is done says that it came
        return None if before.begun or right in AT_ONCE else Kind.ACKNOWLEDGEMENT
    if act is Act.HOLD:
        return Kind.QUESTION if after.ground in AWAITS_PERSON else None
    if act is Act.FINISH:
        return Kind.PACKAGE if right in PACKAGED else Kind.FULFILMENT
    if act is Act.FINISH_PARTLY:  # looked at again and found the same: that was told
        return None if before.state is State.PARTIALLY_FULFILLED else Kind.PARTIAL
    return _OF_ACT.get(act)
