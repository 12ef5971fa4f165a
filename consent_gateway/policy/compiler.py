"""Compiles documents into the intermediate form: for each place, stretch of days and purpose the rows by category.

Pure; assumes documents that passed the reference checks. What is equal is compiled once and shared: places
under the same rules share their plans, categories under the same rules share their rows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from consent_gateway.policy.documents import (
    ALL,
    GROUP_PREFIX,
    SENSITIVE,
    Documents,
    Pack,
    Rule,
    covers,
)
from consent_gateway.policy.expand import Threshold, expand
from consent_gateway.policy.facts import STATUS_MASK
from consent_gateway.policy.ir import (
    REASON_RANK,
    Bar,
    Default,
    Ground,
    PlaceParameters,
    Plan,
    Program,
    Row,
    Rows,
    Segment,
    Stage,
)

_Spoken = tuple[Row, ...]


def normalise_place(code: str) -> str:
    """A jurisdiction code as packs write it: upper case, with a hyphen, `GB` for `UK`."""
    place = code.strip().upper().replace("_", "-")
    return f"GB{place[2:]}" if place == "UK" or place.startswith("UK-") else place


def country_of(place: str) -> str:
    """The country of a subdivision; the code itself for a country."""
    return place.partition("-")[0]


def resolve_threshold(rule: Rule, pack: Pack, place: str) -> Threshold | None:
    """The ages of a rule in years, in a place: a named age is the place's, its country's, or the default."""
    if rule.ages is None:
        return None

    def years(word: int | str) -> int:
        if isinstance(word, int):
            return word
        named = pack.ages[word]
        return named.get(place, named.get(country_of(place), named["default"]))

    lower = rule.ages.from_age
    return Threshold(None if lower is None else years(lower), years(rule.ages.below))


@dataclass(frozen=True, slots=True)
class Reach:
    """What a rule speaks about: purposes, and categories (None for all)."""

    purposes: frozenset[str]
    categories: frozenset[str] | None


def reach_of(rule: Rule, documents: Documents) -> Reach:
    """The purposes and categories that a rule's words stand for."""
    purposes = purposes_of(rule.purposes, documents) - purposes_of(rule.except_purposes, documents)
    if not rule.categories and not rule.except_categories:
        return Reach(purposes, None)
    included = _categories(rule.categories or (ALL,), rule, documents)
    return Reach(purposes, included - _categories(rule.except_categories, rule, documents))


def purposes_of(words: Iterable[str], documents: Documents) -> frozenset[str]:
    """The purposes that words of a pack stand for: keys, `group:…` and `all`."""
    found: set[str] = set()
    for word in words:
        if word == ALL:
            found.update(documents.purposes)
        elif word.startswith(GROUP_PREFIX):
            group = word.removeprefix(GROUP_PREFIX)
            found.update(key for key, purpose in documents.purposes.items() if group in purpose.groups)
        else:
            found.add(word)
    return frozenset(found)


def _categories(words: Iterable[str], rule: Rule, documents: Documents) -> frozenset[str]:
    keys: set[str] = set()
    for word in words:
        if word == ALL:
            return frozenset(documents.categories)
        keys.update(sensitive_list(documents.packs[rule.pack], documents.packs) if word == SENSITIVE else [word])
    return frozenset(category for category in documents.categories if any(covers(key, category) for key in keys))


def ancestors(pack: Pack, packs: Mapping[str, Pack]) -> tuple[str, ...]:
    """Ids of all packs that a pack extends, through others too, nearest first; itself if there is a circle."""
    found: dict[str, None] = {}
    waiting = list(pack.extends)
    while waiting:
        name = waiting.pop(0)
        if name in packs and name not in found:
            found[name] = None
            waiting.extend(packs[name].extends)
    return tuple(found)


def sensitive_list(pack: Pack, packs: Mapping[str, Pack]) -> tuple[str, ...]:
    """The pack's sensitive categories; where it lists none, those of the nearest pack that it extends."""
    for name in (pack.id, *ancestors(pack, packs)):
        if packs[name].sensitive:
            return packs[name].sensitive
    return ()


def sort_rows(rows: Iterable[Row]) -> Rows:
    """Rows in the order that the intermediate form promises, with the facts they depend on."""
    every = tuple(dict.fromkeys(rows))
    bars = [row for row in every if isinstance(row, Bar) and row.stage is not Stage.SHAPE]
    shapes = [row for row in every if isinstance(row, Bar) and row.stage is Stage.SHAPE]
    grounds = [row for row in every if isinstance(row, Ground)]
    defaults = [row for row in every if isinstance(row, Default)]
    relevant = STATUS_MASK  # the built-in defaults look at the status
    for row in every:
        relevant |= row.mask
    return Rows(
        bars=tuple(sorted(bars, key=lambda row: (row.stage, row.rule, row.mask, row.want))),
        grounds=tuple(sorted(grounds, key=_ground_order)),
        defaults=tuple(sorted(defaults, key=lambda row: (-row.mask.bit_count(), row.rule, row.mask, row.want))),
        shapes=tuple(sorted(shapes, key=lambda row: (-row.effect, row.rule, row.mask, row.want))),
        relevant=relevant,
    )


def _ground_order(row: Ground) -> tuple[int, int, str, int, int]:
    return (-row.effect, REASON_RANK.get(row.reason, len(REASON_RANK)), row.rule, row.mask, row.want)


class Compiler:
    """Compiles one set of documents; holds what may be shared while it does."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._everywhere = sorted(
            (pack for pack in documents.packs.values() if pack.everywhere), key=lambda pack: pack.id
        )
        self._reach = {rule.id: reach_of(rule, documents) for rule in documents.rules().values()}
        self._declared = {
            key: tuple(name for name in documents.categories if any(covers(one, name) for one in purpose.categories))
            for key, purpose in documents.purposes.items()
        }
        self._expanded: dict[tuple[str, Threshold | None], _Spoken] = {}
        self._rows: dict[tuple[int, ...], Rows] = {}
        self._plans: dict[tuple[int, ...], Mapping[str, Plan]] = {}
        self._planned: dict[tuple[str, tuple[int, ...]], Plan] = {}

    def program(self) -> Program:
        """The whole policy."""
        named: dict[str, list[Pack]] = {}
        for pack in self._documents.packs.values():
            for code in () if pack.everywhere else pack.jurisdictions:
                named.setdefault(code, []).append(pack)
        return Program(MappingProxyType({place: self._segments(place, named) for place in sorted(named)}))

    def _segments(self, place: str, named: Mapping[str, list[Pack]]) -> tuple[Segment, ...]:
        candidates = [*named[place], *(named.get(country_of(place), ()) if place != country_of(place) else ())]
        concerned = {pack.id: pack for pack in (*candidates, *self._everywhere)}
        for pack in candidates:
            concerned.update((name, self._documents.packs[name]) for name in ancestors(pack, self._documents.packs))
        edges = {date.min}
        for pack in concerned.values():
            for dated in (pack, *pack.rules):
                edges.update(day for day in (dated.effective_from, dated.effective_to) if day is not None)
        starts = sorted(edges)
        segments: list[Segment] = []
        for start, until in zip(starts, [*starts[1:], None], strict=True):
            leading = next((pack for pack in candidates if pack.in_force(start)), None)
            if leading is not None:
                segments.append(self._segment(place, leading, start, until))
        return _joined(segments)

    def _segment(self, place: str, leading: Pack, start: date, until: date | None) -> Segment:
        packs = self._documents.packs
        chain = [leading, *(packs[name] for name in ancestors(leading, packs))]
        chain = [pack for pack in (*chain, *self._everywhere) if pack.in_force(start)]
        replaced = {word for pack in chain for word in pack.replaces}
        spoken: dict[str, _Spoken] = {}
        for pack in chain:
            for rule in pack.rules:
                if rule.id not in replaced and rule.in_force(start):
                    spoken[rule.id] = self._expand(rule, resolve_threshold(rule, pack, place))
        return Segment(
            place=place,
            start=start,
            until=until,
            pack=f"{leading.id}@{leading.version}",
            parameters=PlaceParameters(
                consent_months=_months("consent_months", chain),
                implied_months=_months("implied_months", chain),
                reask_months=max((pack.reask_months for pack in chain if pack.reask_months), default=None),
                home=frozenset({*leading.jurisdictions, country_of(place)}),
            ),
            plans=self._plans_of(spoken),
            rules=tuple(sorted(spoken)),
        )

    def _expand(self, rule: Rule, threshold: Threshold | None) -> _Spoken:
        key = (rule.id, threshold)
        if key not in self._expanded:
            self._expanded[key] = expand(rule, threshold)
        return self._expanded[key]

    def _plans_of(self, spoken: Mapping[str, _Spoken]) -> Mapping[str, Plan]:
        # The expansions are kept, so that their identities stay theirs.
        key = tuple(id(rows) for _, rows in sorted(spoken.items()))
        if key not in self._plans:
            self._plans[key] = MappingProxyType(
                {purpose: self._plan(purpose, spoken) for purpose in self._documents.purposes}
            )
        return self._plans[key]

    def _plan(self, purpose: str, spoken: Mapping[str, _Spoken]) -> Plan:
        concerned = [
            (self._reach[rule].categories, rows)
            for rule, rows in sorted(spoken.items())
            if purpose in self._reach[rule].purposes
        ]
        # Most places differ in a few purposes only; as above, the identities of the expansions stay theirs.
        planned = (purpose, tuple(id(rows) for _, rows in concerned))
        if planned not in self._planned:
            self._planned[planned] = self._over(purpose, concerned)
        return self._planned[planned]

    def _over(self, purpose: str, concerned: list[tuple[frozenset[str] | None, _Spoken]]) -> Plan:
        by_category: dict[str, Rows] = {}
        relevant = 0
        for category in self._declared[purpose]:
            parts = [rows for categories, rows in concerned if categories is None or category in categories]
            key = tuple(id(rows) for rows in parts)
            if key not in self._rows:
                self._rows[key] = sort_rows(row for rows in parts for row in rows)
            by_category[category] = self._rows[key]
            relevant |= self._rows[key].relevant
        return Plan(purpose, MappingProxyType(by_category), relevant)


def _months(name: str, chain: list[Pack]) -> int | None:
    """The leading pack's number of months, or the nearest extended pack's where it does not write one."""
    for pack in chain:
        if not pack.everywhere and name not in pack.inherits:
            months: int | None = getattr(pack, name)
            return months
    return None


def _joined(segments: list[Segment]) -> tuple[Segment, ...]:
    """Neighbours in which nothing changes, as one."""
    joined: list[Segment] = []
    for segment in segments:
        last = joined[-1] if joined else None
        same = last is not None and last.until == segment.start and last.plans is segment.plans
        if last is not None and same and (last.pack, last.parameters) == (segment.pack, segment.parameters):
            joined[-1] = Segment(
                last.place, last.start, segment.until, last.pack, last.parameters, last.plans, last.rules
            )
        else:
            joined.append(segment)
    return tuple(joined)


def compile_documents(documents: Documents) -> Program:
    """The intermediate form of documents that passed the reference checks."""
    return Compiler(documents).program()
