"""Asks for a sign-in link by mail address: the same work and answer whoever has the address; sends nothing itself."""

from collections.abc import Callable, Mapping, Sequence

import sqlalchemy as sa

from consent_gateway.callers.transactions import transaction
from consent_gateway.consent.facts import FactsReader
from consent_gateway.customers.limits import SignInLimits
from consent_gateway.customers.links import SIGN_IN_LIFE, SignInLinks
from consent_gateway.customers.mail import MailQueue, Wording, language_of, new_mail
from consent_gateway.people.blind_index import BlindIndex
from consent_gateway.people.normalise import normalise
from consent_gateway.ports import Clock
from consent_gateway.vocabulary import Identifier


class LinkByMail:
    """Asks for links. `link_url` makes the address to open out of a link's token, `not_me_url` the one to end it by.

    `name` is the company's.
    """

    def __init__(
        self,
        *,
        engine: sa.Engine,
        clock: Clock,
        indexes: BlindIndex,
        facts: FactsReader,
        limits: SignInLimits,
        links: SignInLinks,
        queue: MailQueue,
        words: Mapping[str, Wording],
        link_url: Callable[[str], str],
        not_me_url: Callable[[str], str],
        name: str,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._indexes = indexes
        self._facts = facts
        self._limits = limits
        self._links = links
        self._queue = queue
        self._words = words
        self._link_url = link_url
        self._not_me_url = not_me_url
        self._name = name

    def ask(self, address: str, *, browser: str, network: str, languages: Sequence[str]) -> None:
        """Queue a mail with a link for this browser where one person alone has the address, a decoy where none does.

        An address that several people share opens nobody's page: it is treated as nobody's. Raises
        `IdentifierRefused` for what is no mail address, and `TooManyRequests`.
        """
        identifier = Identifier("email", address)
        normal = normalise(identifier)
        self._limits.take(network, normal)
        known = self._indexes.found(
            lambda: self._indexes.every(identifier), lambda at: self._facts.holder(at.kind, at.values)
        )
        now, language = self._clock.now(), language_of(languages)
        with transaction(self._engine) as connection:
            token = self._links.make_in(connection, browser, None if known is None else known.data_subject)
            mail = new_mail(
                normal,
                self._words[language],
                language,
                now,
                link=self._link_url(token),
                not_me=self._not_me_url(token),
                minutes=str(int(SIGN_IN_LIFE.total_seconds() // 60)),
                name=self._name,
            )
            self._queue.put_in(connection, mail, now=now, life=SIGN_IN_LIFE, decoy=known is None)
