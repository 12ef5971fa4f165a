"""Proves that a request is its person's own, at the level the right needs; keeps nothing of what was shown.

The answer to a wrong proof is the same for a person who is known, for one who is not and for one whose attempts are
used up. A code is kept as a keyed digest until it is used; data points are compared and never written anywhere.
"""

import hmac
import secrets
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import sqlalchemy as sa

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.callers.transactions import reading, transaction
from consent_gateway.customers.mail import MailQueue, Wording, language_of, new_mail
from consent_gateway.customers.sessions import Assurance
from consent_gateway.database import to_micros
from consent_gateway.errors import Conflict, FieldFault, InputRefused, NotFound, ProofRefused
from consent_gateway.ids import REFERENCE
from consent_gateway.people.directory import exists
from consent_gateway.people.normalise import normalise
from consent_gateway.people.tables import PEOPLE
from consent_gateway.policy.catalogue import Catalogue
from consent_gateway.policy.rights_terms import Proof, RightsTerms, Way, askable, terms_on
from consent_gateway.ports import Clock, CustomerStore, Page
from consent_gateway.rights.effects import Effects, acting
from consent_gateway.rights.requests import Book, By, Request
from consent_gateway.rights.sealed import Seal
from consent_gateway.rights.states import Act, State
from consent_gateway.rights.tables import RIGHTS_CODES

# A link mailed to the address on file is used once, within minutes and in the browser that asked for it: it proves all
# that a code mailed there does.
_WAY_OF = {Assurance.ACCOUNT: Way.SESSION, Assurance.LINK: Way.CODE}
_NO_ROWS = Page(limit=0)
_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Mailing:
    """What a code is mailed with; `name` is the company's."""

    queue: MailQueue
    words: Mapping[str, Wording]
    name: str


class SignedIn(Protocol):
    """A customer's sign-in, as `customers` keeps it."""

    @property
    def data_subject(self) -> str:
        """The person."""
        ...

    @property
    def assurance(self) -> Assurance:
        """How they signed in."""
        ...

    @property
    def signed_in_at(self) -> datetime:
        """When."""
        ...


class Proofs:
    """Takes proof. `key` keys the digests of codes; `mailing` is None where no mail is set up. Safe between threads."""

    def __init__(
        self,
        *,
        engine: sa.Engine,
        clock: Clock,
        book: Book,
        terms: Sequence[RightsTerms],
        store: CustomerStore,
        catalogue: Catalogue,
        effects: Effects,
        seal: Seal,
        key: bytes,
        mailing: Mailing | None,
        draw: Callable[[], str] = lambda: f"{secrets.randbelow(10**_DIGITS):0{_DIGITS}d}",
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._book = book
        self._terms = tuple(terms)
        self._store = store
        self._catalogue = catalogue
        self._effects = effects
        self._seal = seal
        self._key = key
        self._mailing = mailing
        self._draw = draw

    def needed(self, right: str) -> Proof | None:
        """What is enough for a right today, or None where the policy has no terms for it."""
        return None if self.terms is None else self.terms.proofs.get(right)

    @property
    def mails(self) -> bool:
        """Whether codes can be mailed here."""
        return self._mailing is not None

    @property
    def terms(self) -> RightsTerms | None:
        """What holds today."""
        return terms_on(self._terms, self._clock.now().date())

    def send_code(self, request_id: str, by: By) -> None:
        """Mail a fresh code to the address of the request; the one before it is over.

        Where the address is nobody's, or several people's, everything happens but the sending. Raises `Conflict` where
        codes are no way here or enough were sent, `InputRefused` where the request names no mail address.
        """
        now = self._clock.now()
        with transaction(self._engine) as connection:
            request, terms, _proof = self._awaited(connection, request_id, Way.CODE, now)
            mailing, named = self._mailing, self._seal.open(request.request_id, request.sealed).identifier
            if mailing is None:
                raise Conflict("no mail is set up: prove identity in another way")
            if named is None or named.kind != "email":
                raise InputRefused("a code goes to an e-mail address, and the request names none: use another way")
            if request.codes >= terms.most_codes:
                raise Conflict("no more codes are sent for this request: prove identity in another way")
            request = self._book.change(connection, request, by, "send_code", now, codes=request.codes + 1)
            code, life = self._draw(), timedelta(minutes=terms.code_minutes)
            connection.execute(sa.delete(RIGHTS_CODES).where(RIGHTS_CODES.c.request_id == request.request_id))
            row = {"request_id": request.request_id, "code_hash": self._digest(request.request_id, code)}
            connection.execute(sa.insert(RIGHTS_CODES).values(**row, expires_at=to_micros(now + life)))
            language = language_of([request.language] if request.language else [])
            mail = new_mail(
                normalise(named),
                mailing.words[language],
                language,
                now,
                code=code,
                minutes=str(terms.code_minutes),
                name=mailing.name,
            )
            mailing.queue.put_in(connection, mail, now=now, life=life, decoy=request.data_subject is None)

    def by_code(self, request_id: str, code: str, by: By) -> Request:
        """Prove by the code that was mailed; it works once. Raises `ProofRefused`, `Conflict`, `NotFound`."""
        now = self._clock.now()
        with transaction(self._engine) as connection:
            request, terms, _proof = self._awaited(connection, request_id, Way.CODE, now)
            right = sa.and_(
                RIGHTS_CODES.c.request_id == request.request_id,
                RIGHTS_CODES.c.code_hash == self._digest(request.request_id, code),
                RIGHTS_CODES.c.expires_at > to_micros(now),
            )
            left = self._left(connection, request, terms, now)
            # The deletion is the proof: a second call with the same code finds no row to delete.
            fits = left and connection.execute(sa.delete(RIGHTS_CODES).where(right)).rowcount == 1
            if fits and request.data_subject is not None:
                return self._proved(connection, request, Way.CODE, by, now)
            self._failed(connection, request, Way.CODE, by, now)
        raise _refused()

    def by_points(self, request_id: str, points: Mapping[str, str], declaration: str | None, by: By) -> Request:
        """Prove by data points that fit what the store holds, with a reference to the signed declaration if one is due.

        Raises as `by_code`, and `InputRefused` for points that the policy does not ask about, or too few.
        """
        now = self._clock.now()
        with reading(self._engine) as connection:
            request, terms, proof = self._awaited(connection, request_id, Way.POINTS, now)
            self._refuse_points(points, declaration, terms, proof)
            store_key = self._store_key(connection, request)
        held = None if store_key is None else self._store.read(store_key, sorted(points), _NO_ROWS)
        values = {} if held is None else held.values
        fitting = [_fits(str(values.get(name) or ""), given) for name, given in sorted(points.items())]
        with transaction(self._engine) as connection:
            request, terms, proof = self._awaited(connection, request_id, Way.POINTS, now)
            left = self._left(connection, request, terms, now)
            if left and all(fitting) and store_key is not None:  # one wrong point among many is a wrong proof
                more = {} if declaration is None else {"declaration": declaration}
                return self._proved(connection, request, Way.POINTS, by, now, points=str(len(points)), **more)
            self._failed(connection, request, Way.POINTS, by, now)
        raise _refused()

    def by_session(self, request_id: str, session: SignedIn, by: By) -> Request:
        """Prove by a fresh sign-in: to the person's own account, or by a link mailed to them. Raises as `by_code`."""
        now = self._clock.now()
        kind = _WAY_OF.get(session.assurance, Way.SESSION)
        with transaction(self._engine) as connection:
            request, terms, _proof = self._awaited(connection, request_id, kind, now)
            if way_of(session, terms, now) is kind and session.data_subject == request.data_subject:
                return self._proved(connection, request, kind, by, now)
            self._failed(connection, request, kind, by, now)
        raise _refused()

    def by_officer(self, request_id: str, reference: str, data_subject: str | None, by: By) -> Request:
        """Prove by what an officer saw; they say whose request it is where the identifier does not.

        Raises `Conflict`, `NotFound`, and `InputRefused` where nobody is named and nobody is known.
        """
        now = self._clock.now()
        if REFERENCE.fullmatch(reference) is None:
            raise _input("/reference", "this is no reference: send an id of yours, without spaces")
        with transaction(self._engine) as connection:
            request, _terms, _proof = self._awaited(connection, request_id, Way.SEEN, now)
            person = data_subject or request.data_subject
            if person is None:
                raise _input("/data_subject", "nobody is known by the request's identifier: say whose request it is")
            if not exists(connection, person):
                raise NotFound("no person has this id: look the person up by an identifier")
            if request.data_subject not in (None, person):
                raise Conflict("the request is about another person")
            known = replace(request, data_subject=person, person_key=person)
            return self._proved(connection, known, Way.SEEN, by, now, proof_reference=reference)

    def close_reads(self, request: Request) -> None:
        """Let nobody read a person whose erasure is asked for and proved; repeats are harmless."""
        if request.right == "delete" and request.standing.proved and request.data_subject is not None:
            client = acting(request.recorded_by, request.channel)
            at = self._clock.now()
            self._effects.erasure(request.data_subject, client, request.via, at, request.request_id, pending=True)

    def purge(self) -> int:
        """Delete the codes whose time is over, and say how many."""
        with transaction(self._engine) as connection:
            over = RIGHTS_CODES.c.expires_at <= to_micros(self._clock.now())
            return connection.execute(sa.delete(RIGHTS_CODES).where(over)).rowcount

    def _awaited(
        self, connection: sa.Connection, request_id: str, way: Way, now: datetime
    ) -> tuple[Request, RightsTerms, Proof]:
        """The request that waits for proof, and what is enough for it."""
        request = self._book.find(connection, request_id, held=True)
        terms = terms_on(self._terms, now.date())
        proof = None if terms is None else terms.proofs.get(request.right)
        if terms is None or proof is None or way not in proof.ways:
            raise Conflict(f"`{way}` is no way to prove identity for `{request.right}`")
        if request.at(now.astimezone(UTC).date()) is not State.IDENTITY_PENDING:
            raise Conflict("the request does not wait for proof of identity")
        return request, terms, proof

    def _proved(
        self, connection: sa.Connection, request: Request, way: Way, by: By, now: datetime, **detail: str
    ) -> Request:
        connection.execute(sa.delete(RIGHTS_CODES).where(RIGHTS_CODES.c.request_id == request.request_id))
        done = self._book.take(
            connection, request, Act.PROVE, by, now, change={"prove_until": None}, proof=way.value, **detail
        )
        return self._book.join(connection, done, by, now)

    def _left(self, connection: sa.Connection, request: Request, terms: RightsTerms, now: datetime) -> bool:
        """Whether attempts are left: for this request, and for all requests about the same person in a day."""
        day = self._book.attempts_since(connection, request.person_key, now - timedelta(days=1))
        return request.attempts < terms.most_attempts and day < terms.most_attempts_a_day

    def _failed(self, connection: sa.Connection, request: Request, way: Way, by: By, now: datetime) -> None:
        self._book.change(connection, request, by, f"prove_failed_{way}", now, attempts=request.attempts + 1)

    def _store_key(self, connection: sa.Connection, request: Request) -> str | None:
        query = sa.select(PEOPLE.c.store_key).where(PEOPLE.c.data_subject == request.data_subject)
        return connection.execute(query).scalar_one_or_none() if request.data_subject is not None else None

    def _refuse_points(
        self, points: Mapping[str, str], declaration: str | None, terms: RightsTerms, proof: Proof
    ) -> None:
        asked = askable(terms, self._catalogue)
        if not set(points) <= set(asked):
            raise _input("/points", f"people are not asked about all of these: use {', '.join(asked) or 'another way'}")
        if len(points) < proof.points:
            raise _input("/points", f"{proof.points} points are needed")
        if proof.declaration and (declaration is None or REFERENCE.fullmatch(declaration) is None):
            raise _input("/declaration", "a signed declaration is needed: send its reference")

    def _digest(self, request_id: str, code: str) -> str:
        return keyed_digest(self._key, "rights-code", request_id.encode(), code.encode())


def way_of(session: SignedIn, terms: RightsTerms, now: datetime) -> Way | None:
    """How a customer's sign-in proves them, if it is not longer ago than the terms allow; None where it does not."""
    fresh = now - session.signed_in_at <= timedelta(minutes=terms.fresh_minutes)
    return _WAY_OF.get(session.assurance) if fresh else None


def _fits(held: str, given: str) -> bool:
    """Whether what was said is what is held, whatever its case, accents, spaces and marks."""
    one, other = _plain(held), _plain(given)
    return bool(one) and hmac.compare_digest(one.encode(), other.encode())


def _plain(text: str) -> str:
    split = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in split if letter.isalnum())


def _refused() -> ProofRefused:
    return ProofRefused("this does not prove whose request it is: check it with the person, or use another way")


def _input(pointer: str, message: str) -> InputRefused:
    return InputRefused(message, (FieldFault(pointer, message),))
