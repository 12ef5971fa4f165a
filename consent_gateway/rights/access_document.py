"""Puts together what a person may know of their data (GDPR Art. 15, 11 CCR 7024) as JSON; changes nothing.

Of each field: value, purpose with its basis, source, recipients by name, how long it is kept. Then what they chose and
when, who looked at what, where data goes abroad, the rights they have. What the law forbids to send is told to be held;
what is about others as well is left out; others' addresses and numbers in free text are blanked, and the fields with
free text are named for the review before the release.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from consent_gateway.people.provenance import Provenance
from consent_gateway.policy import Policies, decide
from consent_gateway.policy.catalogue import Collection, Field
from consent_gateway.policy.controllers import controllers_on
from consent_gateway.policy.documents import Recipient, covers
from consent_gateway.policy.retention import Retention, Schedule
from consent_gateway.ports import BYTES_FORM, StoreRow
from consent_gateway.protection.fields import is_sealed
from consent_gateway.rights.plan import declared_tables
from consent_gateway.rights.plan_keep import Circumstances, Keeping
from consent_gateway.rights.plan_model import Gathered
from consent_gateway.rights.scan_values import Opened
from consent_gateway.vocabulary import AccessRequest, ConsentEvent, Facts, JsonValue, Verdict

ACCESS, PORTABILITY, KNOW = "access", "portability", "know"
FORMAT = 1
WITHHELD, OTHERS, UNREADABLE = "withheld", "others", "unreadable"
_FREE_TEXT = ("user.content", "user.account")
_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_NUMBER = re.compile(r"\+?[0-9][0-9 ()/.-]{6,}[0-9]")
_BLANK = "[…]"
_SHORTEST = 8  # digits of a telephone number


@dataclass(frozen=True, slots=True)
class Dossier:
    """Everything a package is made of. `log` are audit entries about the person."""

    kind: str
    language: str
    now: datetime
    facts: Facts
    gathered: Gathered
    opened: Opened
    provenance: Mapping[str, Sequence[Provenance]]
    events: Sequence[ConsentEvent]
    log: Iterable[Mapping[str, Any]]


class Documents:
    """Makes documents by one revision of the policy. `company` and `channel` are in whose name purposes are decided."""

    def __init__(self, policies: Policies, company: str, channel: str) -> None:
        self._policies = policies
        self._company = company
        self._channel = channel
        self._retention: Retention = policies.documents.retention

    def document(self, dossier: Dossier) -> dict[str, Any]:
        """The document. Raises `ValueError` where the policy lacks a text that it must have."""
        day = dossier.now.date()
        say = _texts(self._policies, day, dossier.language)
        entries = list(dossier.log)
        fields = list(self._fields(dossier, entries, say))
        document: dict[str, Any] = {
            "format": FORMAT,
            "kind": dossier.kind,
            "company": self._company,
            "made_at": dossier.now.isoformat(),
            "language": dossier.language,
            "policy_revision": self._policies.revision,
            "fields": fields,
        }
        if dossier.kind == PORTABILITY:
            return document | {"introduction": say("portability")}
        answers = controllers_on(self._policies.documents.controllers, day)
        document |= {"responsible": [] if answers is None else [one.as_json() for one in answers.contacts]}
        if dossier.kind == KNOW:
            kinds = list(kinds_of(fields))
            recipients = list(self._recipients(fields, entries))
            return document | {
                "fields": [],  # its proof is enough for kinds, not for values (11 CCR 7062(b))
                "introduction": say("introduction"),
                "kinds": kinds,
                "recipients": recipients,
                "rights": say("rights"),
            }
        authority = self._policies.documents.access_texts.authority(dossier.facts.jurisdiction, dossier.language)
        return document | {
            "introduction": say("introduction"),
            "purposes": list(self._purposes(fields)),
            "recipients": list(self._recipients(fields, entries)),
            "choices": [_event(one) for one in dossier.events],
            "accesses": [_looked(one) for one in entries if one.get("kind") in {"decision", "write_intent"}],
            "rights": say("rights"),
            "complaint": f"{say('complaint')} {authority or ''}".strip(),
            "automated_decisions": say("automated_decisions"),
            "review": sorted({one["field"] for one in fields if one["free_text"]}),
        }

    def _fields(
        self, dossier: Dossier, entries: Sequence[Mapping[str, Any]], say: Callable[[str], str]
    ) -> Iterator[dict[str, Any]]:
        gathered, catalogue = dossier.gathered, self._policies.catalogue
        circumstances = Circumstances(dossier.now.date(), dossier.facts.jurisdiction, dossier.facts.legal_hold)
        keeping = Keeping(gathered, catalogue, self._retention, circumstances)
        own = self._own(gathered)
        for table, collection in declared_tables(gathered, catalogue).items():
            rows = gathered.mine.get(table, {})
            clear = {key: dossier.opened(collection, row) for key, row in rows.items()}
            for field in collection.fields:
                uses = list(self._uses(field, dossier))
                if not field.personal or (dossier.kind == PORTABILITY and not self._is_portable(field, uses, dossier)):
                    continue
                values = [_value(field, row, clear[key], dossier, own, self._retention) for key, row in rows.items()]
                shared = gathered.shared.get(table, {}) if dossier.kind == ACCESS else {}
                values += [(None, OTHERS) for row in shared.values() if row.values.get(field.column) is not None]
                told = _told(values, say)
                if told:
                    yield {
                        "field": field.name,
                        "categories": [self._category(one) for one in field.categories],
                        "values": told,
                        "uses": uses,
                        "sources": _sources(dossier.provenance.get(field.name, ()), say),
                        "recipients": self._receivers(field, entries),
                        "kept": self._kept(field, collection, rows.values(), keeping, circumstances),
                        "free_text": _is_free_text(field),
                    }

    def _own(self, gathered: Gathered) -> frozenset[str]:
        """What stands in the person's fields but free text, so that free text may tell it."""
        return frozenset(
            str(row.values.get(one.column)).strip().lower()
            for table, collection in declared_tables(gathered, self._policies.catalogue).items()
            for one in collection.fields
            if not _is_free_text(one)
            for row in gathered.mine.get(table, {}).values()
        )

    def _uses(self, field: Field, dossier: Dossier) -> Iterator[dict[str, Any]]:
        for purpose in self._policies.purposes.values():
            if not purpose.touches(field.categories):
                continue
            asked = AccessRequest("rights", self._channel, purpose.key, (field.name,), dossier.now)
            verdict: Verdict = decide(self._policies.rulebook, asked, dossier.facts).verdicts[field.name]
            yield {
                "purpose": purpose.key,
                "name": purpose.name,
                "description": purpose.description,
                "used": verdict.is_open,
                "basis": verdict.reason.value,
                "effect": verdict.effect.word,
                "rule": verdict.rule,
            }

    def _is_portable(self, field: Field, uses: Sequence[Mapping[str, Any]], dossier: Dossier) -> bool:
        """GDPR Art. 20(1): provided by the person, used by consent or for a contract."""
        terms = self._retention.on(dossier.now.date())
        if any(covers(key, each) for key in terms.not_portable for each in field.categories):
            return False
        return any(one["used"] and one["basis"] in terms.portable_bases for one in uses)

    def _purposes(self, fields: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        used: dict[str, list[str]] = {}
        for one in fields:
            for use in one["uses"]:
                if use["used"]:
                    used.setdefault(use["purpose"], []).append(one["field"])
        for key, names in used.items():
            purpose = self._policies.purposes[key]
            yield {"purpose": key, "name": purpose.name, "description": purpose.description, "fields": names}

    def _receivers(self, field: Field, entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Whom the log says to have received the field, and who may receive it."""
        actual = {
            str(one["recipient"])
            for one in entries
            if one.get("outcome") == "open" and one.get("fields", {}).get(field.name, ["withhold"])[0] != "withhold"
            if "recipient" in one
        }
        found = []
        for key, recipient in self._policies.recipients.items():
            possible = any(self._policies.purposes[p].touches(field.categories) for p in self._named(recipient))
            if key in actual or possible:
                found.append({"recipient": key, "name": recipient.name, "received": key in actual})
        return found

    def _named(self, recipient: Recipient) -> tuple[str, ...]:
        return tuple(self._policies.purposes) if "all" in recipient.purposes else recipient.purposes

    def _recipients(
        self, fields: Sequence[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        """By name, with country and safeguard (Art. 15(1)(c), 15(2)), and when they last received something."""
        named = {each["recipient"]: each["received"] for one in fields for each in one["recipients"]}
        for key in named:
            recipient = self._policies.recipients[key]
            times = [str(one["at"]) for one in entries if one.get("recipient") == key and one.get("outcome") == "open"]
            yield {
                "recipient": key,
                "name": recipient.name,
                "role": recipient.role.value,
                "country": recipient.country,
                "safeguard": recipient.safeguard,
                "received": bool(times),
                "last_received_at": max(times, default=None),
            }

    def _kept(
        self,
        field: Field,
        collection: Collection,
        rows: Iterable[StoreRow],
        keeping: Keeping,
        circumstances: Circumstances,
    ) -> dict[str, Any]:
        """Until when, or by what that is decided (Art. 15(1)(d))."""
        schedules: Sequence[Schedule] = self._retention.of_field(
            field.name, collection.name, field.categories, circumstances.day, circumstances.jurisdiction
        )
        ends = [
            one.until(day)
            for row in rows
            for one in schedules
            for day in keeping.counted(one, collection, row)
            if day is not None
        ]
        return {
            "until": max(ends).isoformat() if ends else None,
            "criteria": [
                {"period": one.period, "counted_from": one.counted_from, "source": one.source} for one in schedules
            ]
            or ([{"period": field.retention, "counted_from": None, "source": None}] if field.retention else []),
        }

    def _category(self, key: str) -> dict[str, str]:
        known = self._policies.documents.categories.get(key)
        return {"category": key, "name": key if known is None else known.name}


def kinds_of(fields: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The kinds of data that are held: of each what for, from where, to whom and for how long; no value."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    names: dict[str, str] = {}
    for one in fields:
        told = {
            "purposes": [use["purpose"] for use in one["uses"] if use["used"]],
            "sources": [each["source"] for each in one["sources"]],
            "recipients": [each["name"] for each in one["recipients"]],
            "periods": [str(each["period"]) for each in one["kept"]["criteria"]],
        }
        for category in one["categories"]:
            names[category["category"]] = category["name"]
            kind = found.setdefault(category["category"], {name: {} for name in told})
            for name, words in told.items():
                kind[name].update(dict.fromkeys(words))
    for key, kind in sorted(found.items()):
        yield {"category": key, "name": names[key], **{name: list(words) for name, words in kind.items()}}


def _texts(policies: Policies, day: date, language: str) -> Callable[[str], str]:
    def say(key: str) -> str:
        text = policies.documents.access_texts.text(key, day, language)
        if text is None:
            raise ValueError(f"access.yaml has no text `{key}` in force: a package cannot be made without it")
        return text

    return say


def _value(
    field: Field,
    row: StoreRow,
    clear: Mapping[str, JsonValue],
    dossier: Dossier,
    own: frozenset[str],
    retention: Retention,
) -> tuple[JsonValue, str | None]:
    """A field's value in one row, or why it is not told."""
    value = row.values.get(field.column)
    if value is None:
        return None, None
    terms = retention.on(dossier.now.date())
    for one in terms.never_disclosed:
        if one.holds(dossier.facts.jurisdiction) and any(
            covers(k, c) for k in one.categories for c in field.categories
        ):
            return None, WITHHELD
    if field.protection == "sealed":
        value = clear.get(field.column)
        if value is None or is_sealed(value):
            return None, UNREADABLE
    if isinstance(value, str) and value.startswith(BYTES_FORM):
        return value.removeprefix(BYTES_FORM), None
    if isinstance(value, str) and _is_free_text(field):
        return _without_others(value, own), None
    return value, None


def _is_free_text(field: Field) -> bool:
    return any(covers(key, each) for key in _FREE_TEXT for each in field.categories)


def _without_others(text: str, own: frozenset[str]) -> str:
    """Free text without addresses and numbers that are not the person's own."""
    digits = {re.sub(r"[^0-9]", "", one)[-9:] for one in own}

    def number(found: re.Match[str]) -> str:
        bare = re.sub(r"[^0-9]", "", found[0])
        return found[0] if len(bare) < _SHORTEST or bare[-9:] in digits else _BLANK

    text = _ADDRESS.sub(lambda found: found[0] if found[0].lower() in own else _BLANK, text)
    return _NUMBER.sub(number, text)


def _told(values: Sequence[tuple[JsonValue, str | None]], say: Callable[[str], str]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    for value, why in values:
        if why in {WITHHELD, OTHERS}:
            told.append({"value": None, "not_told": why, "because": say(str(why))})
        elif why is not None:
            told.append({"value": None, "not_told": why, "because": ""})
        elif value is not None:
            told.append({"value": value})
    return told


def _sources(written: Sequence[Provenance], say: Callable[[str], str]) -> list[dict[str, Any]]:
    found = [
        {"source": one.source, "channel": one.channel, "recorded_at": one.recorded_at.isoformat()} for one in written
    ]
    return found or [{"source": say("source_unknown"), "channel": None, "recorded_at": None}]


def _event(one: ConsentEvent) -> dict[str, Any]:
    evidence = one.event.evidence
    return {
        "event": one.event.kind.value,
        "purpose": one.event.purpose,
        "occurred_at": one.event.occurred_at.isoformat(),
        "channel": evidence.channel,
        "how": evidence.how,
        "notice": evidence.notice,
        "notice_version": evidence.notice_version,
        "language": evidence.language,
    }


def _looked(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An access as the log has it: who, when, for what, which fields went out."""
    return {
        "at": entry["at"],
        "who": entry.get("caller"),
        "channel": entry.get("channel"),
        "purpose": entry.get("purpose"),
        "action": entry.get("action"),
        "recipient": entry.get("recipient"),
        "outcome": entry.get("outcome"),
        "fields": sorted(name for name, told in entry.get("fields", {}).items() if told[0] != "withhold"),
    }
