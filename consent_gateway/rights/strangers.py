"""Requests of people who are not signed in, by a mail address and a mailed code; tells nobody who is known.

What is answered is the same for an address that is known, for one that is not and for one that several people share.
A ticket is what the browser holds of its request: the number with a keyed digest of it. The ticket with which a request
was filed shows nothing of how it goes; another one, that the right code alone gives, does.
"""

import hmac
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from consent_gateway.callers.digests import keyed_digest
from consent_gateway.customers.limits import SignInLimits
from consent_gateway.errors import Conflict, FieldFault, InputRefused, NotFound, ProofRefused
from consent_gateway.ids import REFERENCE
from consent_gateway.people.directory import PersonRef
from consent_gateway.people.normalise import normalise
from consent_gateway.policy.rights_terms import Way
from consent_gateway.ports import Clock
from consent_gateway.rights.effects import AT_ONCE
from consent_gateway.rights.handling import Handling
from consent_gateway.rights.intake import Intake, NewRequest
from consent_gateway.rights.own import STARTED_HERE, OwnRequest, seen_by_person, words_of
from consent_gateway.rights.proofs import Proofs
from consent_gateway.rights.regimes import Laws
from consent_gateway.rights.requests import By, Via
from consent_gateway.vocabulary import Identifier

ASKED_FOR = (*STARTED_HERE, "opt_out_sale_share", "limit_sensitive")
"""What may be asked for without signing in."""

NOT_THERE = "no law of that place gives this right"
_GROUPS = frozenset({"EEA", "EU", "everywhere"})
_FILED, _PROVED = "stranger-filed", "stranger-proved"


@dataclass(frozen=True, slots=True)
class Filed:
    """A request as its filer is told of it. `awaits_code` is whether a code was mailed, whoever has the address."""

    ticket: str
    awaits_code: bool


class Strangers:
    """Takes requests of visitors. `key` keys the tickets. Safe to share between threads."""

    def __init__(
        self,
        *,
        laws: Laws,
        intake: Intake,
        proofs: Proofs,
        handling: Handling,
        limits: SignInLimits,
        key: bytes,
        clock: Clock,
    ) -> None:
        self._laws = laws
        self._intake = intake
        self._proofs = proofs
        self._handling = handling
        self._limits = limits
        self._key = key
        self._clock = clock

    @property
    def places(self) -> tuple[str, ...]:
        """The places whose law the policy knows."""
        return tuple(sorted(self._laws.places - _GROUPS))

    def file(self, given: Mapping[str, str], language: str, network: str, channel: str) -> Filed:
        """Take in a request, and mail a code where the right needs one.

        Raises `InputRefused` with faults at `/right`, `/email`, `/place`, `/text`, and `TooManyRequests`.
        """
        right, place = given.get("right", ""), given.get("place", "")
        identifier = Identifier("email", given.get("email", ""))
        said, faults = self._faults(right, place, identifier, given.get("text", ""))
        if faults:
            raise InputRefused("the form is not as it must be", tuple(faults))
        self._limits.take(network, normalise(identifier))
        new = NewRequest(
            right=right,
            person=PersonRef(identifier=identifier),
            via=Via.PAGE,
            received_at=self._clock.now(),
            channel=channel,
            jurisdiction=place,
            language=language,
            text=said,
        )
        request = self._intake.receive(new, By(channel=channel))
        needed = self._proofs.needed(right)
        awaits = needed is not None and Way.CODE in needed.ways and self._proofs.mails
        if awaits:
            self._proofs.send_code(request.request_id, By())
        return Filed(self._ticket(_FILED, request.request_id), awaits)

    def send_again(self, ticket: str, network: str) -> None:
        """Mail a fresh code, if another may be sent. Raises `NotFound` for a ticket that is none of ours.

        That none may be is not told: it may be so because the person themself has proved the request meanwhile, and
        then whoever filed it would learn that they are known.
        """
        request_id = self._number(_FILED, ticket)
        self._limits.take(network)
        with suppress(Conflict):
            self._proofs.send_code(request_id, By())

    def prove(self, ticket: str, code: str, network: str) -> str:
        """The ticket that shows how the request goes, for the right code. Raises `ProofRefused`, `NotFound`.

        A request that is no longer to be proved is told as a wrong code is: who has no code learns nothing of it.
        """
        request_id = self._number(_FILED, ticket)
        self._limits.take(network)
        try:
            proved = self._proofs.by_code(request_id, code, By())
        except Conflict as error:
            raise ProofRefused("this does not prove whose request it is") from error
        self._proofs.close_reads(proved)
        return self._ticket(_PROVED, request_id)

    def look(self, ticket: str) -> OwnRequest:
        """The request behind a ticket that was given for a right code. Raises `NotFound`."""
        return seen_by_person(self._handling, self._handling.read(self._number(_PROVED, ticket)))

    def filed(self, ticket: str) -> str:
        """The number of the request that was filed with a ticket. Raises `NotFound`."""
        return self._number(_FILED, ticket)

    def _faults(self, right: str, place: str, identifier: Identifier, text: str) -> tuple[str | None, list[FieldFault]]:
        """What the person said, and everything that is wrong with the form, in its order."""
        faults, said = [], None
        no_such_law = place in self.places and self._laws.of_place(place, right, self._clock.now()) is None
        if right not in ASKED_FOR:
            faults.append(FieldFault("/right", "choose one"))
        elif no_such_law:
            faults.append(FieldFault("/right", NOT_THERE))
        try:
            normalise(identifier)
        except InputRefused:
            faults.append(FieldFault("/email", "no address"))
        if place not in self.places:
            faults.append(FieldFault("/place", "choose one"))
        try:
            said = words_of(right, text)
        except InputRefused as error:
            faults += error.faults
        return said, faults

    def holds_at_once(self, ticket: str) -> bool:
        """Whether what was filed binds already, by whose right it is. Raises `NotFound`."""
        return self._handling.read(self._number(_FILED, ticket)).right in AT_ONCE

    @property
    def code_terms(self) -> tuple[int, int]:
        """For how many minutes a code is good, and how many are sent for one request."""
        terms = self._proofs.terms
        return (0, 0) if terms is None else (terms.code_minutes, terms.most_codes)

    def _ticket(self, use: str, request_id: str) -> str:
        return f"{request_id}.{keyed_digest(self._key, use, request_id.encode())}"

    def _number(self, use: str, ticket: str) -> str:
        request_id = ticket.partition(".")[0]
        ours = REFERENCE.fullmatch(request_id) is not None and hmac.compare_digest(
            ticket.encode(), self._ticket(use, request_id).encode()
        )
        if not ours:
            raise NotFound("no request is known by this")
        return request_id
