"""How each purpose stands for one person, told from the live policy by `decide` itself; pure, changes nothing.

Nothing of what the page says about a purpose is written by hand: whether it is in use is what a channel would be
answered now, on which ground it rests is what the policy says of a person who chose nothing, and how a person may
answer is tried out on the policy before it is offered.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from consent_gateway.policy import Policies, decide
from consent_gateway.policy.documents import Pack, Recipient
from consent_gateway.vocabulary import AccessRequest, Choice, ChoiceStatus, Facts, Reason

CROSS_CONTEXT = "cross_context"
"""The group of purposes that sell or share data."""

_RUNS_UNTIL_OPT_OUT = frozenset({Reason.OPT_OUT_MODEL, Reason.NOTICE_OPT_OUT})
_NO = frozenset({ChoiceStatus.REFUSED, ChoiceStatus.WITHDRAWN})
_YES = frozenset({ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT})


class Way(StrEnum):
    """How a person may answer a purpose."""

    CONSENT = "consent"  # in use only after Allow
    OPT_OUT = "opt_out"  # in use until the person says no
    OBJECTION = "objection"  # rests on another ground, which an objection ends
    NONE = "none"  # rests on a ground that leaves no choice
    PROGRAMME = "programme"  # part of the loyalty programme
    CLOSED = "closed"  # not in use, and no answer would change that


@dataclass(frozen=True, slots=True)
class Standing:
    """One purpose for one person.

    `ground` is the reason that opens it, or would; `reason` why it is open or closed now. `answer` is what the person
    is shown as having answered: True, False, or None where nothing stands.
    """

    purpose: str
    way: Way
    in_use: bool
    answer: bool | None
    ground: Reason
    reason: Reason
    explicit: bool
    opt_in_again: bool
    choice: Choice
    categories: tuple[str, ...]
    partners: tuple[Recipient, ...]
    cross_context: bool
    paused_until: datetime | None  # while a pause lasts; the answer stands beneath it

    @property
    def asked(self) -> bool:
        """Whether the page offers Allow and Do not allow."""
        return self.way in (Way.CONSENT, Way.OPT_OUT)

    @property
    def answerable(self) -> bool:
        """Whether the person has a say at all: by an answer, or by an objection to another ground."""
        return self.asked or self.way is Way.OBJECTION


class Standings:
    """Tells how purposes stand. One instance per process; safe to share between threads."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._fields: Mapping[str, tuple[str, ...]] = {
            key: tuple(name for name, field in policies.catalogue.fields.items() if purpose.touches(field.categories))
            for key, purpose in policies.purposes.items()
        }
        by_condition = {channel.conditions: channel.key for channel in policies.channels.values()}
        self._channels = tuple(by_condition.values())  # a purpose may be open by what one channel alone established
        self._partners: Mapping[str, tuple[Recipient, ...]] = {
            key: tuple(each for each in policies.recipients.values() if key in each.purposes)
            for key in policies.purposes
        }

    def of(self, facts: Facts, now: datetime, *, gpc: bool) -> tuple[Standing, ...]:
        """Every purpose, in the policy's order. `gpc`: the visitor's browser sends the signal now."""
        return tuple(self.one(key, facts, now, gpc=gpc) for key in self._policies.purposes)

    def rights(self, facts: Facts, now: datetime) -> frozenset[str]:
        """The rights that the law of the person's place gives by name, as packs list them under `clocks`."""
        segment = self._policies.rulebook.segment(facts.jurisdiction, now)
        if segment is None or segment.pack is None:
            return frozenset()
        packs = self._policies.documents.packs
        return frozenset(_rights_of(packs, segment.pack.partition("@")[0]))

    def one(self, purpose: str, facts: Facts, now: datetime, *, gpc: bool) -> Standing:
        """One purpose of the policy."""
        groups = self._policies.purposes[purpose].groups
        choice = facts.choices.get(purpose) or Choice(purpose)
        in_use, reason = self._try(purpose, facts, now, gpc=gpc)
        paused_until = choice.paused_until if choice.paused_until is not None and now < choice.paused_until else None
        stands, because = in_use, reason
        if paused_until is not None:  # the answer is what it was, and holds again when the pause is over
            bare = {**facts.choices, purpose: replace(choice, paused_until=None)}
            stands, because = self._try(purpose, replace(facts, choices=bare), now, gpc=gpc)
        way, ground, explicit = self._way(purpose, facts, now)
        return Standing(
            purpose=purpose,
            way=way,
            in_use=in_use,
            answer=_answer(way, choice, in_use=stands, reason=because),
            ground=ground,
            reason=reason,
            explicit=explicit,
            opt_in_again=choice.opted_out or (way is Way.OPT_OUT and not stands),
            choice=choice,
            categories=self._categories(purpose),
            partners=self._partners[purpose],
            cross_context=CROSS_CONTEXT in groups,
            paused_until=paused_until,
        )

    def _way(self, purpose: str, facts: Facts, now: datetime) -> tuple[Way, Reason, bool]:
        """How the person may answer, the ground it rests on, and whether Allow must be said expressly."""
        fresh = Facts(
            jurisdiction=facts.jurisdiction,
            minor_born=facts.minor_born,
            parental_authorisation=facts.parental_authorisation,
        )
        outside, ground = self._try(purpose, fresh, now, gpc=False)
        if not outside and ground is Reason.NOT_A_MEMBER:
            _, joined = self._try(purpose, replace(fresh, member=True), now, gpc=False)
            return Way.PROGRAMME, joined, False
        if outside:
            if ground in _RUNS_UNTIL_OPT_OUT:
                return Way.OPT_OUT, ground, False
            objected = {purpose: Choice(purpose, objected=True)}
            still, _ = self._try(purpose, replace(fresh, choices=objected), now, gpc=False)
            return (Way.NONE if still else Way.OBJECTION), ground, False
        accepted = sorted(self._policies.rulebook.accepted_notices(purpose, now.date()) or ())
        for status, explicit in ((ChoiceStatus.GRANTED, False), (ChoiceStatus.GRANTED_EXPLICIT, True)):
            granted = Choice(purpose, status, given_at=now, notice_version=accepted[-1] if accepted else None)
            opens, why = self._try(purpose, replace(fresh, choices={purpose: granted}), now, gpc=False)
            if opens:
                return Way.CONSENT, why, explicit
        return Way.CLOSED, ground, False

    def _try(self, purpose: str, facts: Facts, now: datetime, *, gpc: bool) -> tuple[bool, Reason]:
        """Whether any channel could use any field for the purpose now, alone or with a partner, and the reason."""
        closed = Reason.UNKNOWN_CATEGORY
        recipients: Iterable[str | None] = (None, *(partner.key for partner in self._partners[purpose]))
        for recipient in recipients:
            for channel in self._channels:
                request = AccessRequest(
                    client_id="preference_page",
                    channel=channel,
                    purpose=purpose,
                    fields=self._fields[purpose],
                    time=now,
                    recipient=recipient,
                    gpc=gpc,
                )
                verdicts = decide(self._policies.rulebook, request, facts).verdicts.values()
                for verdict in verdicts:
                    if verdict.is_open:
                        return True, verdict.reason
                    if recipient is None:
                        closed = verdict.reason
        return False, closed

    def _categories(self, purpose: str) -> tuple[str, ...]:
        fields = self._policies.catalogue.fields
        return tuple(sorted({category for name in self._fields[purpose] for category in fields[name].categories}))


def _answer(way: Way, choice: Choice, *, in_use: bool, reason: Reason) -> bool | None:
    if in_use and (way is Way.OPT_OUT or choice.status in _YES):
        return True
    said_no = choice.status in _NO or choice.opted_out or choice.objected or choice.unsubscribed
    if said_no or (reason is Reason.GPC and not in_use):
        return False
    return None


def _rights_of(packs: Mapping[str, Pack], key: str) -> set[str]:
    pack = packs[key]
    return set(pack.clocks).union(*(_rights_of(packs, other) for other in pack.extends))
