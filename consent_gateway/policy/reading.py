"""Turns the texts of a policy directory into typed documents; checks each file by itself, never one against another."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from marshmallow import Schema

from consent_gateway.policy.access_texts import read_access_texts
from consent_gateway.policy.catalogue import Catalogue, Collection, obligation, read_catalogue
from consent_gateway.policy.controllers import read_controllers
from consent_gateway.policy.documents import (
    Ages,
    Category,
    Channel,
    Contact,
    Documents,
    Pack,
    Purpose,
    Recipient,
    Rule,
    SignalDuty,
    Transform,
)
from consent_gateway.policy.findings import Finding
from consent_gateway.policy.legal_clocks import read_clocks
from consent_gateway.policy.letters import read_letters
from consent_gateway.policy.notices import FOLDER, read_notices
from consent_gateway.policy.reidentification import read_reidentification
from consent_gateway.policy.retention import read_retention
from consent_gateway.policy.rights_terms import read_rights_terms
from consent_gateway.policy.schemas import (
    CategoriesSchema,
    ChannelsSchema,
    PackSchema,
    PurposesSchema,
    RecipientsSchema,
    RuleSchema,
    TransformsSchema,
)
from consent_gateway.policy.shape import load
from consent_gateway.policy.source import Document, Place
from consent_gateway.policy.steps import read_steps

NAMES = ("catalogue", "categories", "purposes", "channels", "recipients", "transforms")
OPTIONAL = ("access", "controller", "letters", "reidentification", "retention", "rights")
NOTHING = Catalogue("", Collection("", "", (), "", None, ""), {}, {})


def read_documents(parsed: Mapping[str, Document], findings: list[Finding]) -> Documents:
    """Everything that the parsed files hold and that stands; what does not is told in `findings`."""
    named = {name: parsed.get(f"{name}.yaml") for name in (*NAMES, *OPTIONAL)}
    missing = [f"{name}.yaml" for name in NAMES if named[name] is None]
    findings.extend(Finding(path, 1, "the file is missing", f"write `{path}`") for path in missing)
    reading = _Reading(findings)
    catalogue = named["catalogue"]
    return Documents(
        purposes=reading.keyed(named["purposes"], PurposesSchema(), "purposes", "key", _purpose),
        categories=_categories(named["categories"], findings),
        channels=reading.keyed(named["channels"], ChannelsSchema(), "channels", "key", _channel),
        recipients=reading.keyed(named["recipients"], RecipientsSchema(), "recipients", "key", _recipient),
        transforms=reading.listed(named["transforms"], TransformsSchema(), "transforms", _transform),
        notices=read_notices([each for path, each in parsed.items() if path.startswith(FOLDER)], findings),
        packs=_packs([document for path, document in parsed.items() if path.startswith("packs/")], findings),
        catalogue=(read_catalogue(catalogue, findings) if catalogue else None) or NOTHING,
        reidentification=read_reidentification(named["reidentification"], findings),
        retention=read_retention(named["retention"], findings),
        access_texts=read_access_texts(named["access"], findings),
        rights=read_rights_terms(named["rights"], findings),
        letters=read_letters(named["letters"], parsed.values(), findings),
        controllers=read_controllers(named["controller"], findings),
        paths={name: f"{name}.yaml" for name in (*NAMES, *OPTIONAL)},
    )


class _Reading:
    """Reads the files that are one list below one key."""

    def __init__(self, findings: list[Finding]) -> None:
        self._findings = findings

    def listed(
        self, document: Document | None, schema: Schema, key: str, make: Callable[[dict[str, Any], int], Any]
    ) -> tuple[Any, ...]:
        if document is None:
            return ()
        given = load(schema, document, (), document.value, self._findings)
        if given is None:
            return ()
        return tuple(make(entry, document.line((key, index))) for index, entry in enumerate(given[key]))

    def keyed(
        self,
        document: Document | None,
        schema: Schema,
        key: str,
        name: str,
        make: Callable[[dict[str, Any], int], Any],
    ) -> Mapping[str, Any]:
        result: dict[str, Any] = {}
        for entry in self.listed(document, schema, key, make):
            word = getattr(entry, name)
            if word in result and document is not None:
                what = f"`{word}` stands twice among the {key}"
                self._findings.append(Finding(document.path, entry.line, what, "rename or remove one"))
            result[word] = entry
        return MappingProxyType(result)


def _purpose(given: dict[str, Any], line: int) -> Purpose:
    return Purpose(**given, line=line)


def _channel(given: dict[str, Any], line: int) -> Channel:
    return Channel(given["key"], given["name"], frozenset(given.get("conditions", ())), line)


def _recipient(given: dict[str, Any], line: int) -> Recipient:
    contact = given.pop("contact")
    return Recipient(**given, contact=None if contact is None else Contact(**contact), line=line)


def _transform(given: dict[str, Any], line: int) -> Transform:
    made = obligation(given["transform"], given["parameters"])
    return Transform(given["categories"], given["effect"], made, line)


def _categories(document: Document | None, findings: list[Finding]) -> Mapping[str, Category]:
    given = load(CategoriesSchema(), document, (), document.value, findings) if document else None
    if given is None or document is None:
        return {}
    return MappingProxyType(
        {
            key: Category(key, entry["name"], entry["special"], document.line(("categories", key)))
            for key, entry in given["categories"].items()
        }
    )


def _packs(documents: list[Document], findings: list[Finding]) -> Mapping[str, Pack]:
    packs: dict[str, Pack] = {}
    rules: dict[str, Rule] = {}
    pack_schema, rule_schema = PackSchema(), RuleSchema()  # making one takes as long as reading several rules by it
    for document in documents:
        given = load(pack_schema, document, (), document.value, findings)
        if given is None:
            continue
        pack = _pack(given, document, rule_schema, findings)
        if pack.id in packs:
            what = f"the pack `{pack.id}` stands in `{packs[pack.id].path}` too"
            findings.append(Finding(document.path, document.line(("pack",)), what, "rename one of them"))
        packs[pack.id] = pack
        for rule in pack.rules:
            if rule.id in rules:
                what = f"the rule id `{rule.id}` stands in `{rules[rule.id].path}` line {rules[rule.id].line} too"
                findings.append(Finding(rule.path, rule.line, what, "give each rule an id of its own"))
            rules[rule.id] = rule
    if not documents:
        findings.append(Finding("packs", 1, "there is no pack", "write at least one file in `packs/`"))
    return MappingProxyType(packs)


def _pack(given: dict[str, Any], document: Document, rule_schema: RuleSchema, findings: list[Finding]) -> Pack:
    rules = []
    for index, entry in enumerate(given["rules"]):
        place: Place = ("rules", index)
        read = load(rule_schema, document, place, entry, findings)
        if read is not None:
            rules.append(_rule(read, given["pack"], document, place))
    written = document.value
    return Pack(
        id=given["pack"],
        title=given["title"],
        version=given["version"],
        effective_from=given["effective_from"],
        effective_to=given["effective_to"],
        jurisdictions=given["jurisdictions"],
        extends=given["extends"],
        replaces=given["replaces"],
        ages=MappingProxyType(given["ages"]),
        consent_months=given["consent_months"],
        implied_months=given["implied_months"],
        inherits=frozenset({"consent_months", "implied_months"} - set(written)),
        reask_months=given["reask_months"],
        signal_duty=SignalDuty(**given["signal_duty"]) if given["signal_duty"] else None,
        clocks=read_clocks(given, document, findings),
        sensitive=given["sensitive"],
        rules=tuple(rules),
        path=document.path,
        line=document.line(("pack",)),
        steps=read_steps(given["steps"]),
    )


def _rule(given: dict[str, Any], pack: str, document: Document, place: Place) -> Rule:
    ages = given.pop("ages")
    return Rule(
        **{**given, "when": tuple(given.get("when", ())), "roles": tuple(given.get("roles", ()))},
        pack=pack,
        ages=Ages(ages["from_age"], ages["below"]) if ages else None,
        text=document.excerpt(place),
        path=document.path,
        line=document.line(place),
    )
