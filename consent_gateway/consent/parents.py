"""Says whether a parent must speak for a child and may do so by a mailed link; out of the policy, records nothing."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from consent_gateway.errors import ConsentNotRaised
from consent_gateway.policy import Policies, decide
from consent_gateway.policy.step_book import StepBook
from consent_gateway.policy.steps import Link
from consent_gateway.vocabulary import AccessRequest, Choice, ChoiceStatus, Facts, Reason

_PARENT_WANTED = frozenset({Reason.BELOW_DIGITAL_AGE, Reason.PARENT_REQUIRED})
_YES = frozenset({ChoiceStatus.GRANTED, ChoiceStatus.GRANTED_EXPLICIT})


class ParentCheck:
    """The check of one installation. The ages are those of the packs, tried out on the policy itself."""

    def __init__(self, policies: Policies, book: StepBook) -> None:
        self._policies = policies
        self._book = book

    def link(self, facts: Facts, purpose: str, now: datetime) -> Link:
        """The link by which a parent may allow this purpose. Raises `ConsentNotRaised` where none may.

        The authorisation is about the child and not about one purpose, so a yes of the child that a mailed link may
        not speak for stands in its way.
        """
        if facts.parental_authorisation:
            raise ConsentNotRaised("a parent has authorised already: record the child's choice")
        if not self._parent_opens(facts, purpose, now):
            raise ConsentNotRaised("here no parent is asked about this purpose at this age, or none could allow it")
        link = self._book.parent_by_mail(facts.jurisdiction, now.date())
        if link is None or purpose not in self._book.speaks_for(link):
            raise ConsentNotRaised(
                "where this child lives a mailed link is not enough for this purpose: have a form signed and record"
                " `parental_authorisation` with its image's hash"
            )
        self.refuse_wider(facts, self._book.speaks_for(link))
        return link

    def refuse_wider(self, facts: Facts, spoken_for: Collection[str]) -> None:
        """Raise `ConsentNotRaised` where the child said yes to a purpose that is not spoken for."""
        for choice in facts.choices.values():
            if choice.status in _YES and choice.purpose not in spoken_for:
                raise ConsentNotRaised(
                    "the child said yes to another purpose, which a mailed link cannot authorise: record a withdrawal"
                    " of it first, or have a form signed"
                )

    def _parent_opens(self, facts: Facts, purpose: str, now: datetime) -> bool:
        """Whether a yes of the child is closed for want of a parent, and open with one."""
        policies = self._policies
        if facts.minor_born is None or purpose not in policies.purposes:
            return False
        fields = tuple(
            name
            for name, field in policies.catalogue.fields.items()
            if policies.purposes[purpose].touches(field.categories)
        )
        accepted = sorted(policies.rulebook.accepted_notices(purpose, now.date()) or ())
        yes = Choice(purpose, ChoiceStatus.GRANTED_EXPLICIT, now, notice_version=accepted[-1] if accepted else None)
        alone = Facts(facts.jurisdiction, {purpose: yes}, minor_born=facts.minor_born)
        request = AccessRequest("parents", next(iter(policies.channels), ""), purpose, fields, now)
        without = decide(policies.rulebook, request, alone).verdicts
        together = decide(policies.rulebook, request, replace(alone, parental_authorisation=True)).verdicts
        return any(without[name].reason in _PARENT_WANTED and together[name].is_open for name in fields)
