"""Carries out approved requests by the erasures and packages of this room; plans, erases and makes nothing itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from consent_gateway.errors import Conflict
from consent_gateway.rights.access import RELEASED, Package, Packages
from consent_gateway.rights.access_document import ACCESS, KNOW, PORTABILITY
from consent_gateway.rights.correction import Correcting
from consent_gateway.rights.correction_records import Corrected
from consent_gateway.rights.correction_records import State as Correction
from consent_gateway.rights.erasure import Erasing
from consent_gateway.rights.erasure_records import Erasure, State
from consent_gateway.rights.execution import Outcome, Work
from consent_gateway.rights.handling import Handling
from consent_gateway.rights.requests import By, Request
from consent_gateway.rights.states import IN_REVIEW
from consent_gateway.rights.states import State as Stage
from consent_gateway.vocabulary import JsonValue

KINDS: Mapping[str, str] = MappingProxyType({"access": ACCESS, "portability": PORTABILITY, "know": KNOW})
"""Rights that a package answers, and its kind. That of `know` holds no value: its proof is enough for kinds of data."""


class ErasesPerson:
    """Answers `delete` with an erasure; `execute` and `withdraw` are an `Executor`'s."""

    def __init__(self, erasing: Erasing) -> None:
        self._erasing = erasing

    def execute(self, work: Work) -> Outcome:
        """Erase, go on with what was cut short, or look again at what was left. `Conflict` before its time."""
        erasing, by = self._erasing, work.officer
        known = erasing.plan(work.data_subject, request_id=work.request_id, by=by, asked_at=work.received_at)
        # What a law keeps is not tried again: its time is for the schedules. What was left may be mended by now.
        if known.state is State.PARTIALLY_ERASED and known.leftovers:
            return _told(erasing.look_again(known.erasure_id, by=by))
        return _told(erasing.execute(known.erasure_id, by=by, at_once=work.waived))

    def withdraw(self, request_id: str, by: str) -> None:
        """Take the planned erasure back. Raises `Conflict` once it has begun."""
        self._erasing.withdraw(request_id, by=by)


class CorrectsRecord:
    """Answers `correct` with what an officer proposed; `execute` and `withdraw` are an `Executor`'s."""

    def __init__(self, correcting: Correcting) -> None:
        self._correcting = correcting

    def execute(self, work: Work) -> Outcome:
        """Correct, go on with what was cut short, or look again at what was left. `NotFound` before it is proposed."""
        done = self._correcting.execute(work.request_id, by=work.officer)
        kept = {one.field for one in done.fields if one.kept}
        left = {one.where for one in done.leftovers}
        return Outcome(done.state is Correction.CORRECTED, done.correction_id, tuple(sorted(kept | left)))

    def withdraw(self, request_id: str, by: str) -> None:
        """Take the proposal back. Raises `Conflict` once it has begun."""
        self._correcting.withdraw(request_id, by=by)


class MakesPackage:
    """Answers access, portability and know with a package; `execute` and `withdraw` are an `Executor`'s."""

    def __init__(self, packages: Packages) -> None:
        self._packages = packages

    def execute(self, work: Work) -> Outcome:
        """Make the package once; the right is carried out when it is released."""
        made = self._packages.make(
            work.data_subject,
            request_id=work.request_id,
            by=work.officer,
            kind=KINDS[work.right],
            language=work.language or "en",
        )
        return Outcome(complete=True, reference=made.package_id, waits=made.state != RELEASED)

    def withdraw(self, request_id: str, by: str) -> None:
        """Delete the package."""
        self._packages.withdraw(request_id, by=by)


@dataclass(frozen=True, slots=True)
class Handing:
    """What officers do with the package of a request: look at it, and release it."""

    handling: Handling
    packages: Packages

    def review(self, request_id: str, by: str) -> tuple[Package, dict[str, Any]]:
        """The package and what is in it, recorded. Raises `NotFound`, `KeysUnavailable`."""
        made = self.packages.of_request(self.handling.read(request_id).request_id)
        return made, self.packages.review(made.package_id, by=by)

    def release(self, request_id: str, by: By, blank: Sequence[str]) -> tuple[str, Request]:
        """The secret of the single-use link, told this once, and the request, which is fulfilled by it.

        Released again, it has a new link and the one before is over. Raises `NotFound`, `InputRefused`, and `Conflict`
        for a request that is not approved, or is being worked on.
        """
        request = self.handling.read(request_id)
        standing = request.standing
        done = standing.state is Stage.FULFILLED
        if standing.running or not (done or (standing.approved and standing.state in IN_REVIEW)):
            raise Conflict("nothing of this request can be released now: have it proved, approved and executed first")
        made = self.packages.of_request(request.request_id)
        secret = self.packages.release(made.package_id, by=by.officer or "", blank=blank)
        return secret, request if done else self.handling.execute(request.request_id, by)


@dataclass(frozen=True, slots=True)
class Mending:
    """What officers say of a request for correction: what is to stand in the record."""

    handling: Handling
    correcting: Correcting

    def propose(self, request_id: str, values: Mapping[str, JsonValue], by: str) -> Corrected:
        """Propose values, by field of the record. Raises as `Correcting.propose`, and `Conflict` for another right, a
        request that is answered or being worked on, or that nobody has proved.
        """
        request = self.handling.read(request_id)
        standing = request.standing
        if request.right != "correct" or not standing.open or standing.running:
            raise Conflict("nothing can be proposed for this request: it is answered, or being worked on, or another")
        if request.data_subject is None or not standing.proved:
            raise Conflict("identity is not proved: ask for proof first")
        return self.correcting.propose(request.data_subject, values, request_id=request.request_id, by=by)

    def read(self, request_id: str) -> Corrected:
        """What was proposed and what became of it. Raises `NotFound`."""
        return self.correcting.of_request(self.handling.read(request_id).request_id)


def _told(erasure: Erasure) -> Outcome:
    kept = {one.field for one in erasure.fields if one.kept}
    left = {one.where for one in erasure.leftovers}
    return Outcome(erasure.state is State.ERASED, erasure.erasure_id, tuple(sorted(kept | left)))
