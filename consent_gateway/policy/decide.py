"""The decision: `decide(rulebook, request, facts) -> Decision`. Pure and total: no clock, no I/O, no logging.

Same inputs, same answer. Unknown anything denies, and so does an error: it is never raised and never skipped,
its kind stands among the decision's facts.
"""

from datetime import UTC, date

from consent_gateway.policy.compiler import normalise_place
from consent_gateway.policy.facts import BIT
from consent_gateway.policy.ir import Segment
from consent_gateway.policy.rulebook import Rulebook, denial
from consent_gateway.policy.situation import choice_bits, person_bits
from consent_gateway.vocabulary import AccessRequest, Choice, Decision, Facts, Reason, Verdict

_PAUSED = BIT["paused"]
_NO_FIELD = denial(Reason.UNKNOWN_CATEGORY)


def decide(rulebook: Rulebook, request: AccessRequest, facts: Facts) -> Decision:
    """A verdict for each requested field, with what it rested on."""
    try:
        return _decide(rulebook, request, facts)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong must deny, and the answer says that it did
        verdict = denial(Reason.UNKNOWN_STATE, "error")
        held = (f"error {type(error).__name__}",)
        place = getattr(facts, "jurisdiction", None)
        return Decision(dict.fromkeys(request.fields, verdict), rulebook.revision, None, place, held, None)


def _decide(rulebook: Rulebook, request: AccessRequest, facts: Facts) -> Decision:
    moment = request.time
    if moment.tzinfo is not UTC:
        if moment.tzinfo is None:  # `astimezone` would ask the machine where it stands
            raise ValueError("the time of a request has no time zone")
        moment = moment.astimezone(UTC)
    purpose = request.purpose
    segment = rulebook.segment(facts.jurisdiction, moment)
    if segment is None or purpose not in segment.plans:
        return _unknown(rulebook, request, facts, segment)
    accepted = rulebook.accepted_notices(purpose, moment.date())
    bits = choice_bits(facts, purpose, moment, segment.parameters, accepted)
    bits |= person_bits(facts, request, moment)
    refusal: Verdict | None = None
    conditions = rulebook.channels.get(request.channel)
    if conditions is None:
        refusal = denial(Reason.CALLER_NOT_PERMITTED, "unknown-channel")
    else:
        bits |= conditions
    if request.recipient is not None:
        received = rulebook.recipient(request.recipient, purpose, segment)
        if isinstance(received, Verdict):
            refusal = refusal or received
        else:
            bits |= received
    if refusal is None:
        verdicts = rulebook.verdicts(segment.plans[purpose], request.fields, bits)
    else:
        verdicts = {name: refusal if rulebook.knows(name) else _NO_FIELD for name in request.fields}
    choice = facts.choices.get(purpose)
    return Decision(
        verdicts,
        rulebook.revision,
        segment.pack,
        facts.jurisdiction,
        rulebook.names(bits),
        None if choice is None else _rests_on(choice, bits),
    )


def _rests_on(choice: Choice, bits: int) -> str | None:
    """The event of the pause while it lasts, or that of the answer beneath it."""
    return choice.pause_event if bits & _PAUSED else choice.event_id


def _unknown(rulebook: Rulebook, request: AccessRequest, facts: Facts, segment: Segment | None) -> Decision:
    """Purpose, category or place is unknown; the reason is the first of these, field by field."""
    known = request.purpose in rulebook.documents.purposes

    def reason(name: str) -> Reason:
        if not known:
            return Reason.UNKNOWN_PURPOSE
        return Reason.UNKNOWN_JURISDICTION if rulebook.knows(name) else Reason.UNKNOWN_CATEGORY

    verdicts = {name: denial(reason(name)) for name in request.fields}
    place = None if facts.jurisdiction is None else normalise_place(facts.jurisdiction)
    return Decision(verdicts, rulebook.revision, segment.pack if segment else None, place, (), None)


def decide_category(rulebook: Rulebook, place: str, purpose: str, category: str, bits: int, day: date) -> Verdict:
    """The verdict for a category in a situation of fact bits; the denials come in the same order as in `decide`."""
    if purpose not in rulebook.documents.purposes:
        return denial(Reason.UNKNOWN_PURPOSE)
    if category not in rulebook.documents.categories:
        return denial(Reason.UNKNOWN_CATEGORY)
    segment = rulebook.segment(place, day)
    if segment is None:
        return denial(Reason.UNKNOWN_JURISDICTION)
    return rulebook.category_verdict(segment.plans[purpose], category, bits)
