"""Finds the mail address that letters about a request go to, and seals it; sends nothing and tells nobody of it.

A letter says nothing that tells whether its person is known, so it goes to the address that was named, whoever has it.
Somebody who wrote by post is answered by post unless they named a mail address.
"""

from collections.abc import Callable
from dataclasses import dataclass

from consent_gateway.people.directory import PersonRef
from consent_gateway.people.normalise import normalise
from consent_gateway.rights.requests import Via
from consent_gateway.rights.sealed import AddressSeal


@dataclass(frozen=True, slots=True)
class Replies:
    """`on_file` tells the mail address that the store has of a person, or None."""

    addresses: AddressSeal
    on_file: Callable[[str], str | None]

    def to(self, request_id: str, person: PersonRef, via: Via, data_subject: str | None) -> bytes | None:
        """The address, sealed for this request; None where letters go by post. Raises `IdentifierRefused`."""
        named = person.identifier
        if named is not None and named.kind == "email":
            return self.addresses.close(request_id, normalise(named))
        if via is Via.POST or data_subject is None:
            return None
        held = self.on_file(data_subject)
        return None if held is None else self.addresses.close(request_id, held)
