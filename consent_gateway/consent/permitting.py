"""Says whether a client may report a choice at all, by its registration and by the way it names; pure.

The person's own standing is not looked at here: what the ledger and the policy ask of a choice, others say.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from consent_gateway.consent.step_check import MAIL_LINK
from consent_gateway.errors import CallerNotPermitted, ConsentNotRaised, FieldFault, InputRefused, UnknownPurpose
from consent_gateway.vocabulary import ANY_PURPOSE, OPENING, PERSON_WIDE, Caller, EventKind

if TYPE_CHECKING:
    from consent_gateway.consent.choices import NewChoice

WRITE_SCOPE = "consents:write"
ADMINISTER_SCOPE = "consents:administer"
IMPORT, SIGNAL = "import", "signal"

ADMINISTRATIVE = frozenset(
    {
        EventKind.LIFT_RESTRICTION,
        EventKind.ERASURE_CANCEL,
        EventKind.ERASED,
        EventKind.LEGAL_HOLD,
        EventKind.LIFT_LEGAL_HOLD,
    }
)
"""Acts of the company, not choices of the person: a channel needs `ADMINISTER_SCOPE` for them."""

_ON_FILE = ADMINISTRATIVE | {EventKind.SOFT_OPT_IN, EventKind.IMPLIED}
"""What rests on a file or a sale of the company's: nobody said it to an agent or signed it."""


def refuse_unpermitted(caller: Caller, choice: "NewChoice", purposes: Collection[str], *, proved: bool) -> None:
    """Raise unless the client may report the choice. `proved`: a mailed link, used up here, says it.

    Raises `CallerNotPermitted`, `ConsentNotRaised` for a way that no channel can claim, `InputRefused` with a fault at
    each member that a spoken or paper yes lacks, `UnknownPurpose`.
    """
    if WRITE_SCOPE not in caller.scopes:
        raise CallerNotPermitted(f"the client lacks the scope `{WRITE_SCOPE}`: ask the operator to register it")
    if choice.kind in ADMINISTRATIVE and ADMINISTER_SCOPE not in caller.scopes:
        raise CallerNotPermitted(f"`{choice.kind.value}` is no choice of a person: it takes `{ADMINISTER_SCOPE}`")
    unclaimable = choice.how == IMPORT or (choice.how == SIGNAL and choice.kind in OPENING)
    if unclaimable or (choice.how == MAIL_LINK and not proved):
        # These ways need no notice, or prove more than a channel can, so it could open anything by naming them.
        raise ConsentNotRaised(f"`{choice.how}` is not how a channel records this: say how the person chose")
    missing = choice.witness.missing(choice.how) if choice.kind in OPENING - _ON_FILE else ()
    if missing:
        raise InputRefused(f"the evidence is not whole: {missing[0].message}", missing)
    if choice.kind in PERSON_WIDE or choice.purpose == ANY_PURPOSE:
        return
    if choice.purpose not in purposes:
        fault = FieldFault("/purpose", "unknown purpose")
        raise UnknownPurpose("the purpose is not one of the policy's purposes", (fault,))
    if choice.kind in OPENING and choice.purpose not in caller.purposes:
        raise CallerNotPermitted("the client is not registered for this purpose: ask the operator to register it")
