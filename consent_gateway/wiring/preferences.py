"""Builds the preference centre out of the process's parts and the page's files; decides nothing."""

from consent_gateway.audit.log import AuditLog
from consent_gateway.consent.choices import Choices
from consent_gateway.consent.hearing import Hearing
from consent_gateway.consent.notices import Notices
from consent_gateway.consent.signals import Told
from consent_gateway.preferences.brand import read_brand
from consent_gateway.preferences.centre import PreferenceCentre
from consent_gateway.preferences.notices import PageNotices
from consent_gateway.preferences.words import needed_by, read_words
from consent_gateway.settings import Settings
from consent_gateway.wiring.parts import Parts


def open_preferences(
    parts: Parts, settings: Settings, choices: Choices, notices: Notices, hearing: Hearing
) -> PreferenceCentre:
    """The preference centre of one process. Raises `PolicyInvalid` for a brand or words that do not stand."""
    brand = read_brand(settings.policies)
    words = read_words(settings.policies, needed_by(parts.policies, brand))
    return PreferenceCentre(
        choices=choices,
        log=AuditLog(parts.engine, settings.state_dir),
        policies=parts.policies,
        words=words,
        brand=brand,
        notices=PageNotices(words, notices),
        remember_signal=lambda caller, person: hearing.hear(caller, (person,), Told(gpc=True)),
        clock=parts.clock,
        form_key=parts.keyring.service_key("preference-forms"),
    )
