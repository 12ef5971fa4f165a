"""Choices that a mailbox confirms: asked for by a channel, mailed, answered by a link; renders and sends nothing.

Each step is one transaction: the request with its link and its mail, the link's end with the events it proves. What
fails leaves the link as it was. The request and what confirms it carry one reference, the confirmation's id.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from consent_gateway.callers.transactions import transaction
from consent_gateway.consent.choices import WRITE_SCOPE, Choices, NewChoice
from consent_gateway.consent.notices import Notices, ShownNotice
from consent_gateway.consent.parents import ParentCheck
from consent_gateway.consent.step_check import MAIL_LINK, pending
from consent_gateway.customers.confirmations import (
    Asked,
    Confirmation,
    ConfirmationLinks,
    Mailed,
    Part,
    life_left,
)
from consent_gateway.customers.limits import SignInLimits
from consent_gateway.customers.mail import MailQueue, Wording, language_of, new_mail
from consent_gateway.errors import CallerNotPermitted, Conflict, ConsentNotRaised, FieldFault, InputRefused, NotFound
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.normalise import normalise
from consent_gateway.policy.step_book import StepBook
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import Caller, ConsentEvent, EventKind, Evidence, Facts, Identifier, NewConsentEvent

CONFIRMABLE = (EventKind.GRANT, EventKind.GRANT_EXPLICIT, EventKind.OPT_IN_AGAIN)
"""The kinds of yes that a mailbox may confirm."""

OWN, PARENT, PARENT_DONE = "confirm", "parent", "parent_done"
"""The kinds of mail."""

CONFIRM_PATH, REVOKE_PATH = "/confirm", "/take-back"
_CALLER = "confirmation_link"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a channel says a person wants: the choice, the text they read, and how and where they said it."""

    person: PersonRef
    purpose: str
    kind: EventKind
    how: str
    notice: str
    notice_version: str
    language: str


@dataclass(frozen=True, slots=True)
class Pending:
    """A request that waits for its link: the request's event and the link."""

    event_id: str
    confirmation: Confirmation


@dataclass(frozen=True, slots=True)
class Page:
    """What a link's page shows: what is asked, and for a parent the text about the child's choices too."""

    confirmation: Confirmation
    shown: ShownNotice
    child_shown: ShownNotice | None


@dataclass(frozen=True, slots=True)
class Addresses:
    """Makes the address to open out of each kind of token."""

    confirm: Callable[[str], str]
    revoke: Callable[[str], str]


class Confirming:
    """One instance per process; safe to share between threads. `mails` is False where no mail leaves."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        clock: Clock,
        choices: Choices,
        notices: Notices,
        book: StepBook,
        parents: ParentCheck,
        links: ConfirmationLinks,
        limits: SignInLimits,
        queue: MailQueue,
        words: Mapping[str, Mapping[str, Wording]],
        addresses: Addresses,
        name: str,
        revocable: timedelta,
        mails: bool,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._choices = choices
        self._notices = notices
        self._book = book
        self._parents = parents
        self._links = links
        self._limits = limits
        self._queue = queue
        self._words = words
        self._addresses = addresses
        self._name = name
        self._revocable = revocable
        self._mails = mails

    def ask(self, caller: Caller, wish: Wish) -> Pending:
        """Record that the person asks, who is named by mail address, and mail them the link that makes it count.

        Raises as `Choices.record` does of the choice, `NotFound` where no mail leaves, and `TooManyRequests`.
        """
        identifier = wish.person.identifier
        address = "" if identifier is None else normalise(identifier)
        shown = self._begin(caller, wish, address)
        now = self._clock.now()
        life = self._life(wish, now)
        with transaction(self._engine) as connection:
            return self._request(connection, caller, wish, Part.OWN, shown, address, now + life)

    def ask_parent(self, caller: Caller, wish: Wish, parent: str) -> Pending:
        """Record that a child asks, and mail the parent the link by which both yeses count. Raises as `ask` does."""
        address = normalise(Identifier("email", parent))
        self._begin(caller, wish, address)
        shown, now = self._notices.for_parents(wish.language), self._clock.now()
        known = self._choices.state(wish.person)
        if known.shared:
            raise Conflict("several people use this identifier: name the child by `data_subject`")
        if self._holder(address) == known.data_subject:
            fault = FieldFault("/parent_email", "this is the child's own address")
            raise InputRefused("a parent is asked at an address of their own", (fault,))
        life = self._parents.link(known.facts, wish.purpose, now).life
        with transaction(self._engine) as connection:
            return self._request(connection, caller, wish, Part.PARENT, shown, address, now + life)

    def resend(self, caller: Caller, confirmation_id: str) -> Confirmation:
        """Mail a new link in place of the old one; its end stays. Raises `NotFound`, `Conflict`, `TooManyRequests`."""
        with transaction(self._engine) as connection:
            mailed = self._links.renew_in(connection, confirmation_id, caller.client_id)
            self._limits.take_address(connection, mailed.address)
            self._mail(connection, mailed)
            return mailed.confirmation

    def look(self, token: str) -> Page:
        """What a link asks; changes nothing. Raises `NotFound`."""
        return self._page(self._links.find(token))

    def look_back(self, token: str) -> Page:
        """The yes that a parent's second link takes back; changes nothing. Raises `NotFound`."""
        return self._page(self._links.find_revocable(token))

    def confirm(self, token: str, shown: str) -> Page:
        """Record the yes that the link asks for, once. `shown` is the hash of the text on the page it was given on.

        Raises `NotFound`, `Conflict` for another text than the one asked with, and as `Choices.record` does; then the
        link is as it was.
        """
        page = self.look(token)
        if page.shown.sha256 != shown:
            raise Conflict("the page showed another text than the link asks with: open the link again")
        with transaction(self._engine) as connection:
            mailed, now = self._links.use_in(connection, token), self._clock.now()
            asked = mailed.confirmation.asked
            request = pending(connection, asked.data_subject, asked.purpose, now)
            if request is None or request.event.evidence.reference != mailed.confirmation.confirmation_id:
                raise ConsentNotRaised("something else was chosen since this was asked for: ask again")
            if asked.part is Part.PARENT:
                self._authorise(connection, mailed, now)
            self._choices.record_step(connection, _caller(asked), _yes(mailed.confirmation, request, now), now)
        return page

    def revoke(self, token: str) -> Page:
        """Take a parent's yes back. Again changes nothing that matters. Raises `NotFound`."""
        page = self.look_back(token)
        with transaction(self._engine) as connection:
            now = self._clock.now()
            revoked = _said(page.confirmation, EventKind.PARENTAL_REVOCATION, now)
            self._choices.record_step(connection, _caller(page.confirmation.asked), revoked, now)
        return page

    def _begin(self, caller: Caller, wish: Wish, address: str) -> ShownNotice:
        """What is refused before anything is done: a client, a text, an address that may not ask."""
        if not self._mails:
            raise NotFound("no mail leaves this installation: set `MAIL`")
        if wish.purpose not in caller.purposes:
            raise CallerNotPermitted("the client is not registered for this purpose: ask the operator to register it")
        evidence = Evidence(caller.channel, wish.how, caller.client_id, wish.notice, wish.notice_version, wish.language)
        self._notices.hash_of(NewConsentEvent("", wish.purpose, wish.kind, self._clock.now(), evidence))
        shown = self._notices.find(wish.notice, wish.notice_version, wish.language)
        if shown is None:
            raise ConsentNotRaised("the text shown is not one of the policy's: name notice, version and language")
        with transaction(self._engine) as connection:
            self._limits.take_address(connection, address)
        return shown

    def _life(self, wish: Wish, now: datetime) -> timedelta:
        """How long the link is good: where the person lives, for this purpose and kind of yes."""
        try:
            place = self._choices.state(wish.person).facts.jurisdiction
        except NotFound:
            place = None  # an address that nobody is known by yet
        link, again = self._book.confirm(place, now.date()), self._book.opt_in_again(place, now.date())
        if link is None or wish.purpose not in self._book.speaks_for(link):
            raise ConsentNotRaised("the policy names no time in which a link may confirm this: see `steps`")
        if wish.kind is not EventKind.OPT_IN_AGAIN:
            return link.life
        return timedelta(0) if again is None else min(link.life, again.within)

    def _holder(self, address: str) -> str | None:
        try:
            known = self._choices.state(PersonRef(identifier=Identifier("email", address)))
        except NotFound:
            return None
        return None if known.shared else known.data_subject

    def _request(
        self,
        connection: sa.Connection,
        caller: Caller,
        wish: Wish,
        part: Part,
        shown: ShownNotice,
        address: str,
        until: datetime,
    ) -> Pending:
        confirmation_id, now = self._links.new_id(), self._clock.now()
        request = NewChoice(
            wish.person,
            EventKind.REQUEST,
            now,
            wish.how,
            wish.purpose,
            until,
            notice=wish.notice,
            notice_version=wish.notice_version,
            language=wish.language,
            reference=confirmation_id,
        )
        committed = self._choices.record_step(connection, caller, request, now)[0]
        asked = Asked(
            data_subject=committed.event.data_subject,
            part=part,
            purpose=wish.purpose,
            kind=wish.kind.value,
            channel=caller.channel,
            client_id=caller.client_id,
            notice=shown.notice_id,
            notice_version=shown.version,
            language=shown.language,
        )
        mailed = self._links.make_in(connection, confirmation_id, asked, address, until)
        self._mail(connection, mailed)
        return Pending(committed.event_id, mailed.confirmation)

    def _authorise(self, connection: sa.Connection, mailed: Mailed, now: datetime) -> None:
        """The parent's own event, before the child's, and a second mail that says how to take it back."""
        confirmation = mailed.confirmation
        facts = self._facts(confirmation.asked.data_subject)
        self._parents.link(facts, confirmation.asked.purpose, now)
        said = _said(confirmation, EventKind.PARENTAL_AUTHORISATION, now)
        self._choices.record_step(connection, _caller(confirmation.asked), said, now)
        token = self._links.revocable_in(connection, confirmation.confirmation_id, now + self._revocable)
        self._put(connection, PARENT_DONE, mailed, self._addresses.revoke(token), self._revocable)

    def _facts(self, data_subject: str) -> Facts:
        return self._choices.state(PersonRef(data_subject=data_subject)).facts

    def _mail(self, connection: sa.Connection, mailed: Mailed) -> None:
        kind = OWN if mailed.confirmation.asked.part is Part.OWN else PARENT
        life = life_left(mailed.confirmation, self._clock.now())
        self._put(connection, kind, mailed, self._addresses.confirm(mailed.token), life)

    def _put(self, connection: sa.Connection, kind: str, mailed: Mailed, link: str, life: timedelta) -> None:
        now, language = self._clock.now(), language_of([mailed.confirmation.asked.language])
        until = mailed.confirmation.expires_at.strftime("%Y-%m-%d %H:%M UTC")
        words = self._words[kind][language]
        mail = new_mail(mailed.address, words, language, now, link=link, until=until, name=self._name)
        self._queue.put_in(connection, mail, now=now, life=life)

    def _page(self, confirmation: Confirmation) -> Page:
        asked = confirmation.asked
        shown = self._notices.find(asked.notice, asked.notice_version, asked.language)
        if shown is None:
            raise NotFound("the text this was asked with is no longer one of the policy's: ask again")
        if asked.part is Part.OWN:
            return Page(confirmation, shown, None)
        return Page(confirmation, shown, self._child_shown(confirmation))

    def _child_shown(self, confirmation: Confirmation) -> ShownNotice | None:
        person = PersonRef(data_subject=confirmation.asked.data_subject)
        for each in reversed(self._choices.history(person)):
            evidence = each.event.evidence
            if each.event.kind is EventKind.REQUEST and evidence.reference == confirmation.confirmation_id:
                return self._notices.find(evidence.notice or "", evidence.notice_version or "", evidence.language or "")
        return None


def _caller(asked: Asked) -> Caller:
    """The link as the consent room sees it: it speaks in the channel where it was asked for, for one purpose."""
    return Caller(_CALLER, asked.channel, frozenset({asked.purpose}), frozenset(), frozenset({WRITE_SCOPE}))


def _yes(confirmation: Confirmation, request: ConsentEvent, now: datetime) -> NewChoice:
    """The yes to the text that the request names."""
    evidence = request.event.evidence
    return NewChoice(
        PersonRef(data_subject=confirmation.asked.data_subject),
        EventKind(confirmation.asked.kind),
        now,
        MAIL_LINK,
        confirmation.asked.purpose,
        notice=evidence.notice,
        notice_version=evidence.notice_version,
        language=evidence.language,
        reference=confirmation.confirmation_id,
    )


def _said(confirmation: Confirmation, kind: EventKind, now: datetime) -> NewChoice:
    """What a parent says by their link."""
    asked = confirmation.asked
    return NewChoice(
        PersonRef(data_subject=asked.data_subject),
        kind,
        now,
        MAIL_LINK,
        notice=asked.notice,
        notice_version=asked.notice_version,
        language=asked.language,
        reference=confirmation.confirmation_id,
    )
