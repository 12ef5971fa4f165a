"""What customers sign in with, put together: sessions, links, handshakes, mail; decides nothing.

A part of the composition root in a file of its own: `wiring` calls `open_customer_desk` and hands the parts in.
"""

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from consent_gateway.callers.fetching import Fetcher
from consent_gateway.consent.facts import FactsReader
from consent_gateway.customer_settings import CustomerProvider, CustomerSettings, Networks
from consent_gateway.customers.asking import LinkByMail
from consent_gateway.customers.confirmations import ConfirmationLinks
from consent_gateway.customers.handshakes import Handshakes
from consent_gateway.customers.limits import SignInLimits
from consent_gateway.customers.links import SignInLinks, UnsubscribeLinks
from consent_gateway.customers.mail import Mailer, MailQueue, Sender, Settled, nobody_asks, wordings
from consent_gateway.customers.outbox import Outbox
from consent_gateway.customers.post import Post
from consent_gateway.customers.sessions import CustomerSession, Sessions
from consent_gateway.customers.smtp import SmtpMailer
from consent_gateway.errors import SettingsRefused
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.ports import Clock
from consent_gateway.protection.keys import KeyRing
from consent_gateway.settings import Settings

SIGN_IN_LINK_PATH = "/sign-in/link"
NOT_ME_LINK_PATH = "/sign-in/not-me"
SESSION_COOKIE = "__Host-cg-session"


@dataclass(frozen=True, slots=True)
class CustomerDesk:
    """What customers sign in with. `by_mail` and `provider` are None where the settings name no such way."""

    sessions: Sessions
    sign_in_links: SignInLinks
    unsubscribe_links: UnsubscribeLinks
    confirmations: ConfirmationLinks
    queue: MailQueue
    handshakes: Handshakes
    limits: SignInLimits
    by_mail: LinkByMail | None
    provider: CustomerProvider | None
    fetcher: Fetcher
    indexes: BlindIndex
    facts: FactsReader
    post: Post
    outbox: Outbox | None
    visitor_proxies: Networks
    name: str
    form_key: bytes

    @property
    def purges(self) -> tuple[Callable[[], int], ...]:
        """What the background worker deletes when its time is over."""
        return (
            self.sessions.purge,
            self.sign_in_links.purge,
            self.unsubscribe_links.purge,
            self.confirmations.purge,
            self.handshakes.purge,
            self.limits.purge,
        )


def open_customer_desk(
    engine: sa.Engine,
    clock: Clock,
    keyring: KeyRing,
    facts: FactsReader,
    indexes: BlindIndex,
    settings: Settings,
    tls: ssl.SSLContext,
    settled: Settled = nobody_asks,
) -> CustomerDesk:
    """The customers' desk of one process. `settled` hears of every mail that leaves the queue."""
    chosen, sender = settings.customers, Sender(settings.customers.mail_from, settings.customers.mail_name)
    outbox = Outbox(settings.state_dir / "outbox", sender, clock) if chosen.mail == "outbox" else None
    mail_key = keyring.service_key("customer-mail")
    sessions = _sessions(engine, clock, keyring, chosen)
    links = SignInLinks(engine, clock, keyring.service_key("sign-in-links"), sessions)
    limits = SignInLimits(engine, clock, keyring.service_key("sign-in-limits"))
    queue = MailQueue(mail_key)
    by_mail = LinkByMail(
        engine=engine,
        clock=clock,
        indexes=indexes,
        facts=facts,
        limits=limits,
        links=links,
        queue=queue,
        words=wordings("sign_in"),
        link_url=lambda token: f"{settings.issuer}{SIGN_IN_LINK_PATH}?t={token}",
        not_me_url=lambda token: f"{settings.issuer}{NOT_ME_LINK_PATH}?t={token}",
        name=chosen.mail_name,
    )
    return CustomerDesk(
        sessions=sessions,
        sign_in_links=links,
        unsubscribe_links=UnsubscribeLinks(engine, clock, keyring.service_key("unsubscribe-links"), chosen.unsubscribe),
        confirmations=_confirmations(engine, clock, keyring),
        queue=queue,
        handshakes=Handshakes(engine, clock, keyring.service_key("sign-in-handshakes")),
        limits=limits,
        by_mail=None if chosen.mail == "none" else by_mail,
        provider=chosen.provider,
        fetcher=Fetcher(tls),
        indexes=indexes,
        facts=facts,
        post=Post(engine, clock, mail_key, outbox or _smtp(chosen, sender, clock, tls), settled),
        outbox=outbox,
        visitor_proxies=chosen.visitor_proxies,
        name=chosen.mail_name,
        form_key=keyring.service_key("customer-forms"),
    )


def _sessions(engine: sa.Engine, clock: Clock, keyring: KeyRing, chosen: CustomerSettings) -> Sessions:
    key = keyring.service_key("customer-sessions")
    return Sessions(engine, clock, key, idle=chosen.idle, longest=chosen.longest)


def _confirmations(engine: sa.Engine, clock: Clock, keyring: KeyRing) -> ConfirmationLinks:
    key, address_key = keyring.service_key("confirmations"), keyring.service_key("confirmation-addresses")
    return ConfirmationLinks(engine, clock, key, address_key)


def _smtp(chosen: CustomerSettings, sender: Sender, clock: Clock, tls: ssl.SSLContext) -> Mailer | None:
    if chosen.smtp is None:
        return None
    try:
        if chosen.smtp.ca_file is not None:
            tls = ssl.create_default_context(cafile=str(chosen.smtp.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise SettingsRefused("CONSENT_GATEWAY_SMTP_CA_FILE cannot be read as PEM: name a readable file") from error
    return SmtpMailer(chosen.smtp, sender, clock, tls)


class SessionVisits:
    """Whose visit a request for the preference centre is: that of its session's cookie."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def current(self, cookies: Mapping[str, str]) -> CustomerSession | None:
        """The session that is signed in; None for nobody's."""
        token = cookies.get(SESSION_COOKIE)
        return None if token is None else self._sessions.resolve(token)
