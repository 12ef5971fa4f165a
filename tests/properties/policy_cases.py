"""Generates requests and facts for the policy properties: broad, biased towards what opens, with unknown words."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml

from consent_gateway.policy import Policies
from consent_gateway.policy.loading import read_sources
from consent_gateway.vocabulary import AccessRequest, Choice, ChoiceStatus, Facts

POLICIES = Path(__file__).resolve().parents[2] / "policies"
CONDITIONS = (
    "existing_customer",
    "own_similar_products",
    "objection_offered_at_collection",
    "sole_purpose_statistics",
    "information_given",
    "objection_offered",
)
TEXTS = "texts: {en: {title: t, what: w, off: o, kept: k}}"
NOTICES = f"""
notice: texts
kind: choice
purposes: [sms_marketing]
earlier: [{{version: "1", meaning: 1}}, {{version: "3", meaning: 2}}]
versions:
  - {{version: "2", meaning: 1, effective_from: 2020-01-01, {TEXTS}}}
  - {{version: "5", meaning: 2, effective_from: 2026-11-22, {TEXTS}}}
"""


def wide_sources() -> dict[str, str]:
    """Our policy with a catalogue that has a field for every category, some fields of two, and a notice file."""
    sources = dict(read_sources(POLICIES))
    categories = sorted(yaml.safe_load(sources["categories.yaml"])["categories"])
    draw = random.Random(7)
    columns: list[dict[str, Any]] = [
        {"name": "key", "data_categories": ["user.unique_id"], "fides_meta": {"primary_key": True}},
        *({"name": name.replace(".", "_"), "data_categories": [name]} for name in categories),
        *({"name": f"pair_{number}", "data_categories": draw.sample(categories, 2)} for number in range(40)),
    ]
    columns[5]["meta"] = {"transforms": {"pseudonymise": "pseudonym.subject", "mask": {"transform": "constant"}}}
    sources["catalogue.yaml"] = yaml.safe_dump(
        {"dataset": [{"fides_key": "wide", "collections": [{"name": "people", "fields": columns}]}]}
    )
    sources = {path: text for path, text in sources.items() if not path.startswith("notices/")}
    sources["notices/texts.yaml"] = NOTICES
    del sources["retention.yaml"]  # its schedules name the fields of our own catalogue
    transforms = yaml.safe_load(sources["transforms.yaml"])
    del transforms["transforms"][0]  # so that some effects have no transform
    sources["transforms.yaml"] = yaml.safe_dump(transforms)
    return sources


@dataclass
class CaseMaker:
    """Draws requests and facts that fit a policy. The same seed draws the same cases."""

    policies: Policies
    draw: random.Random

    def __post_init__(self) -> None:
        documents = self.policies.documents
        self.places = [*self.policies.rulebook.program.places, "us_ca", "uk", "DE-BY", "us-wy", "XX", "UK-SCT"]
        self.places += ["US-CA", "DE", "GB", *(place for place in ("ZZ", "ZZ-A", "ZY") if place in self.places)] * 5
        self.fields = list(documents.catalogue.fields)
        dated = [one for pack in documents.packs.values() for one in (pack, *pack.rules)]
        edges = {day for one in dated for day in (one.effective_from, one.effective_to) if day}
        self.days = sorted({day + timedelta(days=step) for day in edges for step in (-1, 0)})

    def chance(self, share: float) -> bool:
        """True in that share of draws."""
        return self.draw.random() < share

    def moment(self) -> datetime:
        """A time: mostly around now, else at the edges of some law or anywhere in thirty years."""
        at = self.draw.random()
        if at < 0.5:
            day = date(2026, 11, 22)
        elif at < 0.9:
            day = self.draw.choice(self.days)
        else:
            day = date(1999, 1, 1) + timedelta(days=self.draw.randrange(11000))
        zone = UTC if self.chance(0.8) else timezone(timedelta(hours=self.draw.randrange(-11, 13)))
        return datetime(day.year, day.month, day.day, self.draw.randrange(24), self.draw.randrange(60), tzinfo=zone)

    def choice(self, purpose: str, now: datetime) -> Choice:
        """Where a person stands on one purpose."""
        status: Any = self.draw.choice([*ChoiceStatus, ChoiceStatus.GRANTED, ChoiceStatus.GRANTED, "maybe"])
        days = self.draw.choice([-1, 0, 1, 30, 364, 365, 366, 729, 730, 731, 732, 1500])
        given = None if self.chance(0.05) else now - timedelta(days=days, seconds=self.draw.randrange(3))
        until = now + timedelta(seconds=self.draw.randrange(-1, 2)) if self.chance(0.05) else None
        return Choice(
            purpose,
            status,
            given_at=given,
            valid_until=until,
            notice_version=self.draw.choice([None, "1", "2", "3", "5"]),
            objected=self.chance(0.05),
            opted_out=self.chance(0.05),
            opted_in_again=self.chance(0.1),
            unsubscribed=self.chance(0.05),
            conditions=frozenset(name for name in (*CONDITIONS, "granted", "parental") if self.chance(0.6)),
            event_id="evt_1",
            paused_until=now + timedelta(seconds=self.draw.randrange(-1, 2)) if self.chance(0.1) else None,
            pause_event="evt_2",
        )

    def facts(self, purpose: str, now: datetime) -> Facts:
        """What is known of a person."""
        choices = {name: self.choice(name, now) for name in (purpose, "email_marketing") if self.chance(0.9)}
        if self.chance(0.05):
            choices["*"] = self.choice("*", now)
        born = None
        if self.chance(0.35):
            year = now.year - self.draw.randrange(3, 21)
            born = date(year, now.month, min(now.day, 28)) + timedelta(days=self.draw.randrange(-2, 3))
        return Facts(
            None if self.chance(0.01) else self.draw.choice(self.places),
            choices,
            minor_born=born,
            parental_authorisation=self.chance(0.5 if born else 0.1),
            restricted=self.chance(0.04),
            limited=self.chance(0.15),
            gpc=self.chance(0.12),
            member=self.chance(0.5),
            erasure_pending=self.chance(0.06),
            erased=self.chance(0.03),
            legal_hold=self.chance(0.3),
        )

    def request(self, fields: int) -> tuple[AccessRequest, Facts]:
        """One question and the person it is about."""
        now = self.moment()
        purpose = self.draw.choice([*list(self.policies.purposes) * 12, "world_domination"])
        receivers = [name for name, one in self.policies.recipients.items() if purpose in one.purposes]
        recipient = None
        if self.chance(0.4):
            recipient = self.draw.choice([*receivers, *receivers, *receivers, *self.policies.recipients, "nobody"])
        names = [*self.draw.choices(self._fitting(purpose), k=fields - 1), self.draw.choice(self.fields)]
        if self.chance(0.02):
            names[0] = "shoe_size"
        channel = "nowhere" if self.chance(0.01) else self.draw.choice([*self.policies.channels])
        asked = AccessRequest("c", channel, purpose, tuple(names), now, recipient=recipient, gpc=self.chance(0.1))
        return asked, self.facts(purpose, now)

    def _fitting(self, purpose: str) -> list[str]:
        known: Mapping[str, list[str]] = self.__dict__.setdefault("_known", {})
        if purpose not in known:
            declared = self.policies.purposes[purpose].categories if purpose in self.policies.purposes else ()
            keys = tuple(declared)
            columns = self.policies.catalogue.fields.values()
            fits = [
                one.name
                for one in columns
                if all(any(f"{name}.".startswith(f"{key}.") for key in keys) for name in one.categories)
            ]
            self.__dict__["_known"][purpose] = fits or self.fields
        return known[purpose]
