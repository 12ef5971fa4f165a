"""Builds the preference centre out of the process's parts and the page's files; decides nothing."""

from consent_gateway.audit.log import AuditLog
from consent_gateway.callers.replay import ReplayStore
from consent_gateway.callers.transactions import reading
from consent_gateway.choosing import Choosing
from consent_gateway.consent.choices import Choices
from consent_gateway.consent.hearing import Hearing
from consent_gateway.consent.notices import Notices
from consent_gateway.consent.signals import Told
from consent_gateway.people.directory import PersonRef, shares_identifier
from consent_gateway.preferences.brand import read_brand
from consent_gateway.preferences.centre import PreferenceCentre
from consent_gateway.preferences.forms import ConsentForms
from consent_gateway.preferences.notices import PageNotices
from consent_gateway.preferences.words import needed_by, read_words
from consent_gateway.propagation.heard import who_heard
from consent_gateway.settings import Settings
from consent_gateway.vocabulary import Caller
from consent_gateway.wiring.outward import Outward
from consent_gateway.wiring.parts import Parts


def open_preferences(
    parts: Parts,
    settings: Settings,
    choices: Choices,
    notices: Notices,
    hearing: Hearing,
    outward: Outward,
    choosing: Choosing,
) -> PreferenceCentre:
    """The preference centre of one process. Raises `PolicyInvalid` for a brand or words that do not stand."""
    brand = read_brand(settings.policies)
    words = read_words(settings.policies, needed_by(parts.policies, brand))
    page_notices = PageNotices(words, notices)

    def remember(caller: Caller, person: PersonRef) -> object:
        return hearing.hear(caller, (person,), Told(gpc=True))

    forms = ConsentForms(
        key=parts.keyring.service_key("consent-forms"),
        choices=choices,
        confirming=choosing.confirming,
        policies=parts.policies,
        notices=page_notices,
        use=ReplayStore(parts.engine, parts.clock).use,
        remember_signal=remember,
        origins=settings.customers.embed_origins,
        clock=parts.clock,
    )
    return PreferenceCentre(
        choices=choices,
        log=AuditLog(parts.engine, settings.state_dir),
        policies=parts.policies,
        words=words,
        brand=brand,
        notices=page_notices,
        remember_signal=remember,
        forms=forms,
        heard=lambda person: who_heard(parts.engine, outward.destinations, person),
        is_shared=lambda person: _is_shared(parts, person),
        clock=parts.clock,
        form_key=parts.keyring.service_key("preference-forms"),
    )


def _is_shared(parts: Parts, data_subject: str) -> bool:
    with reading(parts.engine) as connection:
        return shares_identifier(connection, data_subject)
