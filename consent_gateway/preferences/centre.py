"""The preference centre as a service: what one person is shown, and their answers recorded; renders nothing.

Every choice goes through `Choices.record`, as one of any other channel does. What a person is told about themself is
accounted for in the audit log before it is told.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from consent_gateway.audit.entry import EntryKind
from consent_gateway.audit.log import AuditLog, EntryFilter, Found
from consent_gateway.consent.choices import WRITE_SCOPE, Choices, NewChoice
from consent_gateway.errors import FieldFault, InputRefused, NotFound, UnknownPurpose
from consent_gateway.people.directory import PersonRef
from consent_gateway.policy import Policies
from consent_gateway.policy.controllers import Contact, controllers_on
from consent_gateway.ports import Clock
from consent_gateway.preferences.answers import Mark, Planned, permission, plan, refusal
from consent_gateway.preferences.brand import Brand
from consent_gateway.preferences.forms import ConsentForms
from consent_gateway.preferences.notices import LIMIT, PROGRAMME, PageNotices
from consent_gateway.preferences.standing import Standing, Standings, Way
from consent_gateway.preferences.words import Words
from consent_gateway.propagation.heard import Heard
from consent_gateway.vocabulary import ANY_PURPOSE, FREQUENCIES, OPENING, Caller, ConsentEvent, EventKind, Facts

CHANNEL = "preference_page"
"""The pseudo-caller, its channel and the way of recording: no client of the API can be it."""

MOST_USES = 50
PAGE_EVENTS = 50

ACTS: Mapping[str, EventKind] = {
    "join": EventKind.JOIN_PROGRAMME,
    "leave": EventKind.LEAVE_PROGRAMME,
    "limit": EventKind.LIMIT,
    "lift_limit": EventKind.LIFT_LIMIT,
}
"""What one button says about the whole person."""

PAUSES = (30, 90)
LESS: Mapping[str, tuple[EventKind, int | None]] = {
    **{f"pause_{days}": (EventKind.PAUSE, days) for days in PAUSES},
    "resume": (EventKind.RESUME, None),
    "frequency": (EventKind.FREQUENCY, None),
}
"""How a person hears of us less, and for how many days."""

_NOTICE_OF = {EventKind.JOIN_PROGRAMME: PROGRAMME, EventKind.LIFT_LIMIT: LIMIT}


@dataclass(frozen=True, slots=True)
class View:
    """Everything the page of choices shows."""

    facts: Facts
    standings: tuple[Standing, ...]
    rights: frozenset[str]
    shares_identifier: bool
    now: datetime

    def by_way(self, *ways: Way) -> tuple[Standing, ...]:
        """The purposes that are answered in one of these ways."""
        return tuple(each for each in self.standings if each.way in ways)


@dataclass(frozen=True, slots=True)
class Saved:
    """What was committed: the position of the first event (None if nothing changed), and what is to be confirmed."""

    position: int | None
    to_confirm: tuple[str, ...] = ()


class PreferenceCentre:
    """One instance per process; safe to share between threads. `form_key`: 32 secret bytes of its own."""

    def __init__(
        self,
        *,
        choices: Choices,
        log: AuditLog,
        policies: Policies,
        words: Mapping[str, Words],
        brand: Brand,
        notices: PageNotices,
        remember_signal: Callable[[Caller, PersonRef], object],
        is_shared: Callable[[str], bool],
        forms: ConsentForms,
        heard: Callable[[str], Sequence[Heard]],
        clock: Clock,
        form_key: bytes,
    ) -> None:
        self.words = words
        self.brand = brand
        self.notices = notices
        self.forms = forms
        self._heard = heard
        self._remember_signal = remember_signal
        self._choices = choices
        self._log = log
        self._policies = policies
        self._standings = Standings(policies)
        self._is_shared = is_shared
        self._clock = clock
        self._form_key = form_key
        self._caller = Caller(
            CHANNEL, CHANNEL, frozenset(policies.purposes), recipients=frozenset(), scopes=frozenset({WRITE_SCOPE})
        )

    def responsible(self) -> tuple[Contact, ...]:
        """Who answers for the data today (GDPR Art. 13(1)(a), (b))."""
        found = controllers_on(self._policies.documents.controllers, self._clock.now().date())
        return () if found is None else found.contacts

    def form_token(self, session_id: str) -> str:
        """What a form carries to show that it was made for this session; 64 hexadecimal digits."""
        return hmac.new(self._form_key, session_id.encode(), hashlib.sha256).hexdigest()

    def is_form_token(self, session_id: str, token: str) -> bool:
        """Whether the form was made for this session."""
        return token.isascii() and hmac.compare_digest(token, self.form_token(session_id))

    def view(self, data_subject: str, *, gpc: bool) -> View:
        """Where the person stands. Raises `NotFound`, `DatabaseUnavailable`."""
        self._choices.account_for(self._caller, "view_choices", data_subject)
        return self._look(data_subject, gpc=gpc)

    def hear(self, person: PersonRef) -> None:
        """Remember that the person's browser sends Global Privacy Control.

        It binds them in every channel, whether or not they press a button here. Raises as `Hearing.hear` does.
        """
        self._remember_signal(self._caller, person)

    def save(
        self, data_subject: str, marks: Mapping[str, Mark], shown: Mapping[str, str], language: str, *, gpc: bool
    ) -> Saved:
        """Record what was marked; durable when it returns. `shown` is the version of the text by purpose.

        Raises `UnknownPurpose` for a purpose that the page does not ask, `InputRefused` with a fault at each purpose
        whose text has changed since; in both cases nothing was recorded.
        """
        standings = self._asked(data_subject, marks, gpc=gpc)
        planned = plan(standings, marks)
        allowed = {each.purpose for each in planned.events if each.kind in OPENING} | set(planned.to_confirm)
        self._refuse_stale(allowed, shown, language)
        requests = [Planned(purpose, EventKind.REQUEST) for purpose in planned.to_confirm]
        return Saved(self._record(data_subject, [*planned.events, *requests], language), planned.to_confirm)

    def confirm(self, data_subject: str, purposes: Collection[str], shown: Mapping[str, str], language: str) -> Saved:
        """The second step after an opt-out: record that these are allowed again. Raises as `save` does."""
        standings = self._asked(data_subject, purposes, gpc=False)
        self._refuse_stale(purposes, shown, language)
        events = [Planned(each.purpose, permission(each)) for each in standings if each.purpose in purposes]
        return Saved(self._record(data_subject, events, language))

    def end(self, data_subject: str, purpose: str, language: str) -> Saved:
        """End one purpose by its button: an objection or an opt-out. Raises `UnknownPurpose`."""
        standings = {each.purpose: each for each in self._asked(data_subject, [purpose], gpc=False)}
        return Saved(self._record(data_subject, [Planned(purpose, refusal(standings[purpose]))], language))

    def less(self, data_subject: str, purpose: str, act: str, frequency: str, language: str) -> Saved:
        """Pause, end a pause, or say how often; `act` is a key of `LESS`. It never stands in place of a no.

        Raises `UnknownPurpose` for a purpose that does not come to the person, `InputRefused` for an unknown act.
        """
        standings = {each.purpose: each for each in self._asked(data_subject, [purpose], gpc=False)}
        if purpose not in self.brand.contacting or not standings[purpose].answerable:
            raise UnknownPurpose("this purpose cannot be paused", (FieldFault("/purpose", "unknown"),))
        if act not in LESS or (act == "frequency" and frequency not in FREQUENCIES):
            raise InputRefused("there is no such act", (FieldFault("/act", "unknown"),))
        kind, days = LESS[act]
        until = None if days is None else self._clock.now() + timedelta(days=days)
        often = frequency if kind is EventKind.FREQUENCY else None
        return Saved(self._record(data_subject, [Planned(purpose, kind, until, often)], language))

    def end_sale(self, data_subject: str, language: str) -> Saved:
        """Opt out of every sale and sharing, whatever stands now."""
        standings = self._look(data_subject, gpc=False).standings
        events = [Planned(each.purpose, EventKind.OPT_OUT) for each in standings if each.cross_context]
        return Saved(self._record(data_subject, events, language))

    def end_all(self, data_subject: str, language: str) -> Saved:
        """Refuse everything that can be refused: one event that becomes one of each purpose in one transaction."""
        return Saved(self._record(data_subject, [Planned(ANY_PURPOSE, EventKind.WITHDRAW)], language))

    def act(self, data_subject: str, act: str, language: str) -> Saved:
        """What one button says about the whole person; `act` is a key of `ACTS`. Raises `InputRefused`."""
        if act not in ACTS:
            raise InputRefused("there is no such act", (FieldFault("/act", "unknown"),))
        return Saved(self._record(data_subject, [Planned(ANY_PURPOSE, ACTS[act])], language))

    def history(self, data_subject: str) -> tuple[ConsentEvent, ...]:
        """Every choice, the newest first."""
        self._choices.account_for(self._caller, "view_history", data_subject)
        return self._choices.history(PersonRef(data_subject=data_subject))[::-1]

    def saved_at(self, data_subject: str, position: int) -> tuple[ConsentEvent, ...]:
        """The events of the save that began at this position; none if there is no such position."""
        events = self._choices.history(PersonRef(data_subject=data_subject))
        first = next((each for each in events if each.position == position), None)
        if first is None:
            return ()
        return tuple(
            each for each in events if each.position >= position and each.event.occurred_at == first.event.occurred_at
        )

    def heard(self, data_subject: str) -> tuple[Heard, ...]:
        """Who is to be told of the person's latest change, and how far it has come to each; never what it rests on."""
        return tuple(self._heard(data_subject))

    def receipt(self, data_subject: str, event_id: str) -> ConsentEvent:
        """One choice of this person. Raises `NotFound`, for another person's event too."""
        self._choices.account_for(self._caller, "view_receipt", data_subject)
        for event in self._choices.history(PersonRef(data_subject=data_subject)):
            if event.event_id == event_id:
                return event
        raise NotFound("nothing is known under this id")

    def account_for(self, data_subject: str, act: str) -> None:
        """Record in the audit log what is about to be shown to the person. Raises `DatabaseUnavailable`."""
        self._choices.account_for(self._caller, act, data_subject)

    def uses(self, data_subject: str) -> list[Found]:
        """The latest decisions about the person that are sealed in the log, the newest first."""
        self._choices.account_for(self._caller, "view_uses", data_subject)
        which = EntryFilter(kind=EntryKind.DECISION.value, data_subject=data_subject)
        return self._log.entries(which, limit=MOST_USES)

    def kinds_of(self, fields: Collection[str]) -> tuple[str, ...]:
        """The categories of catalogue fields; those of a field that is no longer in the catalogue are left out."""
        known = self._policies.catalogue.fields
        return tuple(sorted({category for name in fields if name in known for category in known[name].categories}))

    def _look(self, data_subject: str, *, gpc: bool) -> View:
        facts = self._choices.state(PersonRef(data_subject=data_subject)).facts
        now = self._clock.now()
        standings = self._standings.of(facts, now, gpc=gpc)
        return View(facts, standings, self._standings.rights(facts, now), self._is_shared(data_subject), now)

    def _asked(self, data_subject: str, purposes: Collection[str], *, gpc: bool) -> tuple[Standing, ...]:
        """How things stand, once it is sure that the page offers an answer to each of these purposes."""
        standings = self._look(data_subject, gpc=gpc).standings
        offered = {each.purpose for each in standings if each.answerable}
        if not offered.issuperset(purposes):
            raise UnknownPurpose(
                "the page offers no choice for one of these purposes", (FieldFault("/purpose", "unknown"),)
            )
        return standings

    def _refuse_stale(self, purposes: Collection[str], shown: Mapping[str, str], language: str) -> None:
        stale = [key for key in sorted(purposes) if self.notices.current(key, language).version != shown.get(key)]
        if stale:
            faults = tuple(FieldFault(f"/{key}", "the text has changed since it was shown") for key in stale)
            raise InputRefused("a text has changed since it was shown: show it again", faults)

    def _record(self, data_subject: str, events: Collection[Planned], language: str) -> int | None:
        """Record each in order with one moment; the position of the first. Each is committed when it returns."""
        now, first = self._clock.now(), None
        for planned in events:
            recorded = self._choices.record(self._caller, self._choice(data_subject, planned, language, now))
            first = first or recorded.event_ids[0]
        if first is None:
            return None
        history = self._choices.history(PersonRef(data_subject=data_subject))
        return next(each.position for each in history if each.event_id == first)

    def _choice(self, data_subject: str, planned: Planned, language: str, now: datetime) -> NewChoice:
        about = _NOTICE_OF.get(planned.kind) if planned.purpose == ANY_PURPOSE else planned.purpose
        notice = None if about is None else self.notices.current(about, language)
        return NewChoice(
            person=PersonRef(data_subject=data_subject),
            kind=planned.kind,
            occurred_at=now,
            how=CHANNEL,
            purpose=planned.purpose,
            notice=None if notice is None else notice.notice_id,
            notice_version=None if notice is None else notice.version,
            language=language,
            valid_until=planned.until,
            frequency=planned.frequency,
        )
