"""What people do about their own requests, as their page lets them: start, prove, withdraw, fetch; judges nothing.

Whoever is signed in sees and changes their own requests and nobody else's. What needs proof is proved by a sign-in that
is fresh; an older one starts a request all the same, for the law's time begins with the asking.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from consent_gateway.callers.transactions import reading
from consent_gateway.consent.facts import FactsReader
from consent_gateway.errors import FieldFault, InputRefused, NotFound, ProofRefused
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy.rights_terms import RightsTerms, terms_on
from consent_gateway.ports import Clock
from consent_gateway.rights.access import RELEASED, Packages
from consent_gateway.rights.handling import Handling
from consent_gateway.rights.intake import Intake, NewRequest
from consent_gateway.rights.proofs import Proofs, SignedIn, way_of
from consent_gateway.rights.regimes import Laws
from consent_gateway.rights.requests import SAID, By, Request, Via
from consent_gateway.rights.states import State

STARTED_HERE = (
    "access", "know", "portability", "correct", "delete", "restrict", "object", "opt_out_admt", "complaint_ack",
)  # fmt: skip
"""The rights a person can start on their page, in this order; opt-outs and limits are choices, made beside them."""

LONGEST_TEXT = 2000
_MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """One request as its person sees it. `due` is the day of the answer while one is owed.

    `package` is the time until which files that were made for it can be fetched; None where there are none.
    """

    request: Request
    state: State
    due: date | None
    package: datetime | None

    @property
    def can_be_withdrawn(self) -> bool:
        """Whether its person may still call it off; while it is being carried out the answer may yet be no."""
        return self.request.standing.open and not self.request.standing.running and self.state is not State.EXPIRED


def words_of(right: str, text: str) -> str | None:
    """What somebody says beside a right; None where they say nothing. Raises `InputRefused` where they have to."""
    said = text.strip()
    if len(said) > LONGEST_TEXT or (right in SAID and not said):
        raise InputRefused("say what it is about", (FieldFault("/text", "missing or too long"),))
    return said or None


def seen_by_person(handling: Handling, request: Request) -> OwnRequest:
    """A request as it stands today, without what was made for it."""
    state, dates = request.at(handling.today), handling.book.dates(request)
    end = dates.extended_respond_by if request.standing.extended else dates.respond_by
    owed = request.standing.open and state is not State.EXPIRED
    return OwnRequest(request, state, end if owed else None, None)


class OwnRequests:
    """Safe to share between threads. `channel` is that of the page."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        clock: Clock,
        laws: Laws,
        terms: Sequence[RightsTerms],
        facts: FactsReader,
        intake: Intake,
        proofs: Proofs,
        handling: Handling,
        packages: Packages,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._book = handling.book
        self._laws = laws
        self._terms = tuple(terms)
        self._facts = facts
        self._intake = intake
        self._proofs = proofs
        self._handling = handling
        self._packages = packages

    def rights(self, data_subject: str) -> tuple[str, ...]:
        """The rights that the law of the person's residence gives and the page can start; none without a residence."""
        known = self._facts.by_id(data_subject)
        place = None if known is None else known.facts.jurisdiction
        if place is None:
            return ()
        given = self._laws.rights_in(place, self._clock.now())
        return tuple(right for right in STARTED_HERE if right in given)

    def all(self, data_subject: str) -> list[OwnRequest]:
        """The person's latest requests, the newest first; a repetition is shown as what it repeats."""
        with reading(self._engine) as connection:
            found = self._book.of_person(connection, data_subject, _MOST_SHOWN)
        return [self._told(request) for request in found]

    def one(self, data_subject: str, request_id: str) -> OwnRequest:
        """One request of this person. Raises `NotFound`, for another person's too."""
        return self._told(self._own(data_subject, request_id))

    def is_fresh(self, visit: SignedIn) -> bool:
        """Whether the sign-in is fresh enough to prove something or to be handed data."""
        terms = terms_on(self._terms, self._clock.now().date())
        return terms is not None and way_of(visit, terms, self._clock.now()) is not None

    def start(self, visit: SignedIn, right: str, text: str, language: str, channel: str) -> Request:
        """Take a request in; an older sign-in leaves it waiting for proof. Raises as `Intake.receive` does."""
        if right not in self.rights(visit.data_subject):
            raise InputRefused("this cannot be asked for here", (FieldFault("/right", "unknown"),))
        said = words_of(right, text)
        now = self._clock.now()
        terms = terms_on(self._terms, now.date())
        new = NewRequest(
            right=right,
            person=PersonRef(data_subject=visit.data_subject),
            via=Via.PAGE,
            received_at=now,
            channel=channel,
            language=language,
            text=said,
            proved_by=None if terms is None else way_of(visit, terms, now),
        )
        request = self._intake.receive(new, By(channel=channel))
        self._proofs.close_reads(request)
        with reading(self._engine) as connection:
            return self._book.first_of(connection, request.request_id)

    def prove(self, visit: SignedIn, request_id: str, channel: str) -> bool:
        """Prove a waiting request by the sign-in; whether that was enough. Raises `NotFound`, `Conflict`."""
        self._own(visit.data_subject, request_id)
        if not self.is_fresh(visit):
            return False
        try:
            self._proofs.close_reads(self._proofs.by_session(request_id, visit, By(channel=channel)))
        except ProofRefused:
            return False
        return True

    def withdraw(self, data_subject: str, request_id: str, channel: str) -> None:
        """Call a request off. Raises `NotFound`, and `Conflict` once it is carried out or being so."""
        self._handling.cancel(self._own(data_subject, request_id).request_id, By(channel=channel))

    def fetch(self, visit: SignedIn, request_id: str) -> dict[str, Any] | None:
        """The document made for a request, by a link made and used up at once; None where the sign-in is too old.

        Raises `NotFound` for what is not theirs, not released or over.
        """
        self._own(visit.data_subject, request_id)
        if not self.is_fresh(visit):
            return None
        return self._packages.fetch(self._packages.link(request_id, visit.data_subject), visit.data_subject)

    def fetch_by_link(self, visit: SignedIn, secret: str) -> dict[str, Any] | None:
        """The document behind a link that somebody sent them, once. As `fetch`."""
        return self._packages.fetch(secret, visit.data_subject) if self.is_fresh(visit) else None

    def _own(self, data_subject: str, request_id: str) -> Request:
        with reading(self._engine) as connection:
            request = self._book.find(connection, request_id)
        if request.data_subject != data_subject:
            raise NotFound("no request has this id")
        return request

    def _told(self, request: Request) -> OwnRequest:
        seen = seen_by_person(self._handling, request)
        return replace(seen, package=self._ready(request)) if seen.state is State.FULFILLED else seen

    def _ready(self, request: Request) -> datetime | None:
        try:
            made = self._packages.of_request(request.request_id)
        except NotFound:
            return None
        return made.expires_at if made.state == RELEASED else None
