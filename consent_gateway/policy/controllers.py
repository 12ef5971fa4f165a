"""Who answers for the data, read from `controller.yaml` and found by day; names and nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from marshmallow import Schema, fields

from consent_gateway.policy.findings import Finding
from consent_gateway.policy.schemas import Day, Text
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document

PATH = "controller.yaml"
CONTROLLER, JOINT, REPRESENTATIVE, OFFICER = (
    "controller",
    "joint_controller",
    "representative",
    "data_protection_officer",
)
WHO = (CONTROLLER, JOINT, REPRESENTATIVE, OFFICER)
"""What somebody answers as; the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody who answers for the data. `place` is where a representative stands for the company, else None."""

    who: str
    name: str
    address: str
    email: str | None = None
    phone: str | None = None
    place: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """The members, as a package holds them."""
        return {name: getattr(self, name) for name in ("who", "name", "address", "email", "phone", "place")}


@dataclass(frozen=True, slots=True)
class Controllers:
    """Who answers from a day on. `no_officer` says why no data protection officer is named, where none is."""

    effective_from: date
    source: str
    contacts: tuple[Contact, ...]
    no_officer: str | None = None
    line: int = 1


def controllers_on(entries: tuple[Controllers, ...], day: date) -> Controllers | None:
    """Who answers on the day: the last whose day has come; None where nobody is named."""
    return max((one for one in entries if one.effective_from <= day), key=lambda one: one.effective_from, default=None)


class ContactSchema(Schema):
    """One contact."""

    name = Text(required=True)
    address = Text(required=True)
    email = Text(load_default=None, allow_none=True)
    phone = Text(load_default=None, allow_none=True)


class _RepresentativeSchema(ContactSchema):
    place = Text(required=True)


class ControllersSchema(Schema):
    """Who answers from a day on."""

    effective_from = Day(required=True)
    source = Text(required=True)
    controller = fields.Nested(ContactSchema, required=True)
    joint = fields.List(fields.Nested(ContactSchema), load_default=list)
    representatives = fields.List(fields.Nested(_RepresentativeSchema), load_default=list)
    officer = fields.Nested(ContactSchema, load_default=None, allow_none=True)
    no_officer = Text(load_default=None, allow_none=True)


class _FileSchema(Schema):
    version = fields.Raw()
    controllers = fields.List(fields.Nested(ControllersSchema), required=True)


def read_controllers(document: Document | None, findings: list[Finding]) -> tuple[Controllers, ...]:
    """What the file says; without one, nobody. Faults go to `findings`."""
    given = load(_FileSchema(), document, (), document.value, findings) if document else None
    if given is None or document is None:
        return ()
    entries = []
    for at, entry in enumerate(given["controllers"]):
        line = document.line(("controllers", at))
        contacts = tuple(_contacts(entry))
        entries.append(Controllers(entry["effective_from"], entry["source"], contacts, entry["no_officer"], line))
    findings += [Finding(PATH, line, what, mend) for line, what, mend in _faults(entries)]
    return tuple(entries)


def unnamed(entries: tuple[Controllers, ...]) -> Iterator[Finding]:
    """That nobody at all is named, which `policy check` does not let stand."""
    if not entries:
        what = "nobody is named who answers for the data (GDPR Art. 30(1)(a), 13(1)(a))"
        yield Finding(PATH, 1, what, f"write `{PATH}` with the controller's name, address and contact")


def _contacts(entry: dict[str, Any]) -> Iterator[Contact]:
    yield Contact(CONTROLLER, **entry["controller"])
    yield from (Contact(JOINT, **one) for one in entry["joint"])
    yield from (Contact(REPRESENTATIVE, **one) for one in entry["representatives"])
    if entry["officer"] is not None:
        yield Contact(OFFICER, **entry["officer"])


def _faults(entries: list[Controllers]) -> Iterator[tuple[int, str, str]]:
    days = [one.effective_from for one in entries]
    for one in entries:
        for each in one.contacts:
            if each.email is None and each.phone is None:
                yield one.line, f"`{each.name}` can be reached by post alone", "add `email` or `phone`"
        named = any(each.who == OFFICER for each in one.contacts)
        if named and one.no_officer is not None:
            yield one.line, "an officer is named, and why there is none as well", "keep `officer` or `no_officer`"
        if not named and one.no_officer is None:
            mend = "add `officer`, or `no_officer` with why the law asks for none (GDPR Art. 37(1))"
            yield one.line, "no data protection officer is named", mend
        if days.count(one.effective_from) > 1:
            yield one.line, f"two entries begin on {one.effective_from}", "keep one of them"
