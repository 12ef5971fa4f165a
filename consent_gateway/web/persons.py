"""The person a checked body names; looks nobody up."""

from collections.abc import Mapping
from typing import Any

from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import Identifier


def person_of(body: Mapping[str, Any]) -> PersonRef:
    """The reference in a body of `PersonSchema`, which holds exactly one of the two."""
    named = body.get("data_subject")
    if named is not None:
        return PersonRef(data_subject=named)
    identifier = body["identifier"]
    return PersonRef(identifier=Identifier(identifier["kind"], identifier["value"]))
