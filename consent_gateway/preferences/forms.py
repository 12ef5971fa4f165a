"""One question where it comes up: a form for one person and purpose as a sealed token, and its answer; knows no HTTP.

A channel asks for a form for somebody it is talking to. Who, which purpose, which text in which language, which page
may show it and until when are sealed into the token, so that nothing of it can be read in an address or altered. Yes
and no are two values of one field. A form is answered once.
"""

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from consent_gateway.consent.choices import WRITE_SCOPE, Choices, NewChoice
from consent_gateway.consent.step_check import GRANTS
from consent_gateway.customers.confirming import Confirming, Wish
from consent_gateway.errors import (
    CallerNotPermitted,
    Conflict,
    ConsentNotRaised,
    FieldFault,
    InputRefused,
    KeysUnavailable,
    NotFound,
    UnknownPurpose,
)
from consent_gateway.ids import new_id
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy import Policies
from consent_gateway.policy.step_book import StepBook
from consent_gateway.ports import Clock
from consent_gateway.preferences.answers import Mark, permission, refusal
from consent_gateway.preferences.notices import PageNotices, ShownNotice
from consent_gateway.preferences.standing import Standings
from consent_gateway.protection.primitives import NONCE_BYTES, bind, gcm_decrypt, gcm_encrypt
from consent_gateway.vocabulary import LANGUAGES, Caller, EventKind, Facts, Identifier

LIFE = timedelta(hours=1)
"""How long a form may stand open: as long as somebody may take to order something."""

LONGEST_TOKEN = 2_000
USED = "form:answered"
"""Under which an answered form is remembered; no client id has a colon."""

HOW = "web_form"
_SEAL = bind("consent-form/1")


@dataclass(frozen=True, slots=True)
class NewForm:
    """Whom a channel wants to ask what. `origin` is of the page that may frame the form; None: no page may."""

    person: PersonRef
    purpose: str
    language: str
    origin: str | None


@dataclass(frozen=True, slots=True)
class ConsentForm:
    """What a valid token stands for."""

    form_id: str
    client_id: str
    channel: str
    person: PersonRef
    purpose: str
    language: str
    notice: str
    notice_version: str
    notice_sha256: str
    origin: str | None
    expires_at: datetime

    def __repr__(self) -> str:
        return f"ConsentForm(form_id={self.form_id!r}, …)"


@dataclass(frozen=True, slots=True)
class IssuedForm:
    """A fresh form as the channel gets it. The token names nobody to whoever reads it."""

    form: ConsentForm
    token: str

    def __repr__(self) -> str:
        return f"IssuedForm(form={self.form!r}, token=<withheld>)"


@dataclass(frozen=True, slots=True)
class Answered:
    """What an answer came to. `by_mail`: it is a request, which counts once its person confirms it by mail."""

    event_id: str
    by_mail: bool


class ConsentForms:
    """Makes, opens and answers forms. Safe to share between threads.

    `use` lets the first of any number of callers answer a form (see `ReplayStore.use`); `origins` are the pages that
    may show one; `key` seals tokens and does nothing else.
    """

    def __init__(
        self,
        *,
        key: bytes,
        choices: Choices,
        confirming: Confirming,
        policies: Policies,
        notices: PageNotices,
        use: Callable[[str, str, datetime], bool],
        remember_signal: Callable[[Caller, PersonRef], object],
        origins: Collection[str],
        clock: Clock,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.origins = tuple(origins)
        self._key = key
        self._choices = choices
        self._confirming = confirming
        self._book = StepBook(policies)
        self._askable = frozenset(key for key, purpose in policies.purposes.items() if "choice" in purpose.groups)
        self._standings = Standings(policies)
        self._notices = notices
        self._use = use
        self._remember_signal = remember_signal
        self._clock = clock
        self._random = random

    def make(self, caller: Caller, new: NewForm) -> IssuedForm:
        """A form for the channel to show, with today's text. Nothing is looked up and nothing recorded.

        Raises `CallerNotPermitted` for a purpose that is not the caller's, `UnknownPurpose` for one that is no choice,
        `InputRefused` for an origin that the settings do not name.
        """
        if WRITE_SCOPE not in caller.scopes or new.purpose not in caller.purposes:
            raise CallerNotPermitted("the client is not registered for this purpose: ask the operator to register it")
        if new.purpose not in self._askable:
            raise UnknownPurpose("nobody is asked about this purpose", (FieldFault("/purpose", "is no choice"),))
        if new.origin is not None and new.origin not in self.origins:
            raise InputRefused(
                "this page may not show a form: the operator names it in EMBED_ORIGINS",
                (FieldFault("/origin", "is not one of the settings"),),
            )
        now = self._clock.now()
        notice = self._notices.current(new.purpose, _spoken(new.language))
        form = ConsentForm(
            form_id=new_id("cf", now),
            client_id=caller.client_id,
            channel=caller.channel,
            person=new.person,
            purpose=new.purpose,
            language=notice.language,
            notice=notice.notice_id,
            notice_version=notice.version,
            notice_sha256=notice.sha256,
            origin=new.origin,
            expires_at=now + LIFE,
        )
        return IssuedForm(form, self._sealed(form))

    def open(self, token: str) -> tuple[ConsentForm, ShownNotice]:
        """The form of a token and its text. Raises `NotFound` for one altered in any bit, an old one, an old text."""
        form = self._opened(token)
        shown = self._notices.current(form.purpose, form.language)
        if form.expires_at <= self._clock.now() or shown.sha256 != form.notice_sha256:
            raise _over()
        return form, shown

    def answer(self, token: str, mark: Mark, *, confirmed: bool) -> Answered | None:
        """Record the answer. None where the person once opted out and must press again: that they ask is recorded then.

        Raises `NotFound` as `open` does, `Conflict` for a form that was answered, and for a yes by an identifier that
        several people share; `ConsentNotRaised` for a yes that a mailbox must confirm of somebody who was not named by
        theirs, and then the form is not used up; and what `Choices.record` and `Confirming.ask` raise.
        """
        form, _shown = self.open(token)
        facts = self._facts(form)
        kind, caller = self._kind(form, mark, facts), _as_caller(form)
        if kind is EventKind.OPT_IN_AGAIN and not confirmed:
            self._choices.record(caller, self._choice(form, EventKind.REQUEST))
            return None
        by_mail = kind in GRANTS and self._is_by_mail(form, facts)
        if not self._use(USED, form.form_id, form.expires_at):
            raise Conflict("the form was answered already")
        if by_mail:
            wish = Wish(form.person, form.purpose, kind, HOW, form.notice, form.notice_version, form.language)
            return Answered(self._confirming.ask(caller, wish).event_id, by_mail=True)
        return Answered(self._choices.record(caller, self._choice(form, kind)).event_ids[0], by_mail=False)

    def _choice(self, form: ConsentForm, kind: EventKind) -> NewChoice:
        return NewChoice(
            person=form.person,
            kind=kind,
            occurred_at=self._clock.now(),
            how=HOW,
            purpose=form.purpose,
            notice=form.notice,
            notice_version=form.notice_version,
            language=form.language,
            reference=form.form_id,
        )

    def _is_by_mail(self, form: ConsentForm, facts: Facts) -> bool:
        """Whether a yes on a form counts there only once its mailbox confirmed it (double opt-in)."""
        if self._book.double_opt_in(facts.jurisdiction, form.purpose, HOW, self._clock.now().date()) is None:
            return False
        if form.person.identifier is None or form.person.identifier.kind != "email":
            raise ConsentNotRaised("this yes is confirmed by mail: make the form for the person's mail address")
        return True

    def hear(self, token: str, *, gpc: bool) -> None:
        """Remember the signal that the visitor's browser sent with the answer, whatever the answer is."""
        if gpc:
            form, _shown = self.open(token)
            self._remember_signal(_as_caller(form), form.person)

    def _facts(self, form: ConsentForm) -> Facts:
        try:
            return self._choices.state(form.person).facts
        except NotFound:
            return Facts(jurisdiction=None)  # somebody new: a plain yes or no is kept for the person who will be

    def _kind(self, form: ConsentForm, mark: Mark, facts: Facts) -> EventKind:
        """The event that says the answer, under the law of the place of whoever is asked, where they are known."""
        standing = self._standings.one(form.purpose, facts, self._clock.now(), gpc=False)
        return permission(standing) if mark is Mark.ALLOW else refusal(standing)

    def _sealed(self, form: ConsentForm) -> str:
        identifier = form.person.identifier
        told = {
            "f": form.form_id,
            "c": form.client_id,
            "h": form.channel,
            "d": form.person.data_subject,
            "i": None if identifier is None else [identifier.kind, identifier.value],
            "p": form.purpose,
            "l": form.language,
            "n": [form.notice, form.notice_version, form.notice_sha256],
            "o": form.origin,
            "e": form.expires_at.isoformat(),
        }
        body = json.dumps(told, separators=(",", ":")).encode()
        sealed = gcm_encrypt(self._key, self._random(NONCE_BYTES), body, _SEAL)
        return urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def _opened(self, token: str) -> ConsentForm:
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise _over()
        try:
            sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            if urlsafe_b64encode(sealed).rstrip(b"=").decode() != token:
                raise _over()  # the last character has spare bits: one form, one token
            told = json.loads(gcm_decrypt(self._key, sealed, _SEAL))
        except (ValueError, KeysUnavailable) as error:
            raise _over() from error
        return _read(told)


def _as_caller(form: ConsentForm) -> Caller:
    """Who asked, as far as this one form goes."""
    return Caller(form.client_id, form.channel, frozenset({form.purpose}), frozenset(), frozenset({WRITE_SCOPE}))


def _read(told: Mapping[str, object]) -> ConsentForm:
    """The form that a token of ours holds; its seal says that we wrote it."""
    whole: dict[str, object] = dict(told)
    identifier, notice = whole["i"], whole["n"]
    person = (
        PersonRef(identifier=Identifier(*identifier))
        if isinstance(identifier, list)
        else PersonRef(data_subject=str(whole["d"]))
    )
    named = [str(part) for part in notice] if isinstance(notice, list) else ["", "", ""]
    return ConsentForm(
        form_id=str(whole["f"]),
        client_id=str(whole["c"]),
        channel=str(whole["h"]),
        person=person,
        purpose=str(whole["p"]),
        language=str(whole["l"]),
        notice=named[0],
        notice_version=named[1],
        notice_sha256=named[2],
        origin=None if whole["o"] is None else str(whole["o"]),
        expires_at=datetime.fromisoformat(str(whole["e"])),
    )


def _spoken(language: str) -> str:
    base = language.partition("-")[0].lower()
    return base if base in LANGUAGES else LANGUAGES[0]


def _over() -> NotFound:
    return NotFound("the form is not ours, is too old, or its text has changed: show a new one")
