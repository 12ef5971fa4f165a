"""Which steps a choice takes in a place, out of the packs; pure, records nothing.

Of a place's pack, those it extends and those that hold everywhere, the nearest that names a step is asked; a step that
none of them names cannot be taken there.
"""

from datetime import date

from consent_gateway.policy.compiler import ancestors, purposes_of
from consent_gateway.policy.documents import Pack
from consent_gateway.policy.loading import Policies
from consent_gateway.policy.steps import DoubleOptIn, Link, OptInAgain


class StepBook:
    """The steps of every place. Safe to share between threads."""

    def __init__(self, policies: Policies) -> None:
        self._documents = policies.documents
        self._rulebook = policies.rulebook

    def confirm(self, place: str | None, day: date) -> Link | None:
        """The link by which a person confirms a choice."""
        return next((pack.steps.confirm for pack in self._chain(place, day) if pack.steps.confirm), None)

    def opt_in_again(self, place: str | None, day: date) -> OptInAgain | None:
        """The two steps after an opt-out."""
        return next((pack.steps.opt_in_again for pack in self._chain(place, day) if pack.steps.opt_in_again), None)

    def parent_by_mail(self, place: str | None, day: date) -> Link | None:
        """The link by which a parent authorises."""
        return next((pack.steps.parent_by_mail for pack in self._chain(place, day) if pack.steps.parent_by_mail), None)

    def speaks_for(self, link: Link) -> frozenset[str]:
        """The purposes that a link may speak for."""
        return purposes_of(link.purposes, self._documents) - purposes_of(link.except_purposes, self._documents)

    def double_opt_in(self, place: str | None, purpose: str, how: str, day: date) -> DoubleOptIn | None:
        """The demand that a yes of this way be confirmed. Where the place is not known, that of any place."""
        packs = self._documents.packs.values() if place is None else self._chain(place, day)
        for one in (one for pack in packs if pack.in_force(day) for one in pack.steps.double_opt_in):
            here = place is None or not one.places or self._rulebook.place(place) in one.places
            if here and how in one.ways and purpose in purposes_of(one.purposes, self._documents):
                return one
        return None

    def _chain(self, place: str | None, day: date) -> tuple[Pack, ...]:
        """The packs that speak for a place, nearest first."""
        packs = self._documents.packs
        segment = self._rulebook.segment(place, day)
        leading = None if segment is None else packs.get(segment.pack.partition("@")[0])
        own = () if leading is None else (leading, *(packs[name] for name in ancestors(leading, packs)))
        everywhere = (pack for pack in packs.values() if pack.everywhere)
        return tuple(pack for pack in (*own, *everywhere) if pack.in_force(day))
