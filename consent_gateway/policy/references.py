"""Checks the documents against each other: every name must name something; proves nothing about situations.

What is found here keeps a policy from loading at all. The exhaustive checks are in `checks`.
"""

import re
from collections.abc import Iterable, Iterator

from consent_gateway.policy.compiler import ancestors, resolve_threshold, sensitive_list
from consent_gateway.policy.documents import ALL, EVERYWHERE, GROUP_PREFIX, SENSITIVE, Documents, Pack, Rule
from consent_gateway.policy.expand import expand, known_threshold
from consent_gateway.policy.facts import AGES
from consent_gateway.policy.findings import Finding, nearest
from consent_gateway.policy.ir import REASON_RANK
from consent_gateway.policy.letters import letter_faults
from consent_gateway.policy.notices import notice_faults
from consent_gateway.policy.reidentification import unknown_words
from consent_gateway.policy.retention import retention_faults
from consent_gateway.policy.rights_terms import unknown_of
from consent_gateway.policy.schemas import BASES, BETWEEN
from consent_gateway.vocabulary import COMPANY, Effect

_CODE = re.compile(r"^[A-Z]{2,3}(?:-[A-Z0-9]{1,3})?$")
_BARS = ("parent", "minor_opt_in", "prohibited", "bar", "transfer")
_WITH_REASON = (*_BARS, "ground", "relabel", "opt_out_model", "legitimate_interest")
_NEED_REASON = ("prohibited", "bar", "ground", "relabel")
_OPENING = (*BASES, "ground")
_WITH_DEFAULT = tuple(kind for kind in _OPENING if kind not in ("soft_opt_in", "opt_out_model"))


class ReferenceCheck:
    """Collects what names nothing, file by file."""

    def __init__(self, documents: Documents, findings: list[Finding]) -> None:
        self._documents = documents
        self._findings = findings
        self._groups = {group for purpose in documents.purposes.values() for group in purpose.groups}

    def run(self) -> None:
        """Check everything."""
        self._purposes()
        self._recipients()
        self._transforms()
        self._catalogue()
        for pack in self._documents.packs.values():
            self._pack(pack)
        self._overlaps()
        self._retention()
        self._clocks()
        self._terms()

    def _fault(self, path: str, line: int, what: str, mend: str) -> None:
        self._findings.append(Finding(path, line, what, mend))

    def _known(self, words: Iterable[str], known: Iterable[str], label: str, path: str, line: int) -> None:
        names = set(known)
        for word in words:
            if word not in names:
                self._fault(path, line, f"unknown {label} `{word}`", nearest(word, names))

    def _purposes(self) -> None:
        path = "purposes.yaml"
        for purpose in self._documents.purposes.values():
            self._known(purpose.categories, self._documents.categories, "category", path, purpose.line)
        self._findings.extend(notice_faults(self._documents.notices, self._documents.purposes))

    def _terms(self) -> None:
        documents = self._documents
        recipients = {COMPANY: None, **documents.recipients}
        self._findings.extend(
            unknown_words(documents.reidentification, documents.channels, documents.purposes, recipients)
        )
        self._findings.extend(unknown_of(documents.rights, documents.channels, documents.categories))
        clocked = [pack for pack in documents.packs.values() if pack.clocks and not pack.everywhere]
        regimes = {clock.regime for pack in clocked for clock in pack.clocks.values()}
        places = {place for pack in clocked for place in pack.jurisdictions}
        self._findings.extend(letter_faults(documents.letters, regimes, places, documents.access_texts.authority))

    def _retention(self) -> None:
        documents, catalogue = self._documents, self._documents.catalogue
        self._findings.extend(
            retention_faults(
                documents.retention, documents.purposes, documents.categories, catalogue.collections, catalogue.fields
            )
        )

    def _recipients(self) -> None:
        for recipient in self._documents.recipients.values():
            words = [word for word in recipient.purposes if word != ALL]
            self._known(words, self._documents.purposes, "purpose", "recipients.yaml", recipient.line)
            self._codes([recipient.country], "recipients.yaml", recipient.line)

    def _transforms(self) -> None:
        seen: dict[tuple[str, Effect], int] = {}
        for row in self._documents.transforms:
            self._known(row.categories, self._documents.categories, "category", "transforms.yaml", row.line)
            for category in row.categories:
                first = seen.setdefault((category, row.effect), row.line)
                if first != row.line:
                    what = f"`{category}` has a transform for {row.effect.word} in line {first} too"
                    self._fault("transforms.yaml", row.line, what, "keep one of them")

    def _catalogue(self) -> None:
        catalogue = self._documents.catalogue
        for column in catalogue.fields.values():
            self._known(column.categories, self._documents.categories, "category", catalogue.path, column.line)
            if column.mirrors_consent is not None:
                words = [column.mirrors_consent]
                self._known(words, self._documents.purposes, "purpose", catalogue.path, column.line)

    def _codes(self, codes: Iterable[str], path: str, line: int) -> None:
        for code in codes:
            if not _CODE.match(code):
                self._fault(path, line, f"`{code}` is not an ISO 3166 code", "write `DE` or `US-CA`")
            elif code.split("-")[0] == "UK":
                self._fault(path, line, f"`{code}` is not an ISO 3166 code", "write `GB`")

    def _pack(self, pack: Pack) -> None:
        if not pack.everywhere:
            self._codes(pack.jurisdictions, pack.path, pack.line)
        elif pack.jurisdictions != (EVERYWHERE,) or pack.extends:
            what = f"the pack `{pack.id}` holds everywhere and names places or packs besides"
            self._fault(pack.path, pack.line, what, "write `jurisdictions: everywhere` alone")
        others = [name for name, one in self._documents.packs.items() if name != pack.id and not one.everywhere]
        self._known(pack.extends, others, "pack to extend", pack.path, pack.line)
        self._replaced(pack)
        self._known(pack.sensitive, self._documents.categories, "category", pack.path, pack.line)
        for name, places in pack.ages.items():
            self._codes((place for place in places if place != "default"), pack.path, pack.line)
            for age in set(places.values()) - set(AGES):
                what = f"the age `{name}` is {age}, for which there is no fact"
                self._fault(pack.path, pack.line, what, f"use {min(AGES)} to {max(AGES)}")
        self._codes(pack.steps.places(), pack.path, pack.line)
        self._purpose_words(tuple(pack.steps.words()), pack)
        for rule in pack.rules:
            self._rule(rule, pack)

    def _replaced(self, pack: Pack) -> None:
        extended = ancestors(pack, self._documents.packs)
        if pack.id in extended:
            self._fault(pack.path, pack.line, f"the pack `{pack.id}` extends itself", "break the circle")
        inherited = {rule.id for name in extended for rule in self._documents.packs[name].rules}
        for word in pack.replaces:
            if word not in inherited:
                what = f"`{word}` is replaced, but no extended pack holds it"
                self._fault(pack.path, pack.line, what, nearest(word, inherited))

    def _rule(self, rule: Rule, pack: Pack) -> None:
        def fault(what: str, mend: str) -> None:
            self._fault(rule.path, rule.line, f"rule `{rule.id}`: {what}", mend)

        if not rule.id.startswith(f"{pack.id}."):
            fault("the id does not begin with its pack's", f"write `{pack.id}.{rule.id.rpartition('.')[2]}`")
        for words in (rule.purposes, rule.except_purposes):
            self._purpose_words(words, rule)
        for words in (rule.categories, rule.except_categories):
            known = {ALL, SENSITIVE, *self._documents.categories}
            self._known(words, known, "category", rule.path, rule.line)
            if SENSITIVE in words and not sensitive_list(pack, self._documents.packs):
                fault("the pack lists no sensitive categories", "add `sensitive: [...]` to the pack")
        if pack.everywhere and rule.kind in _OPENING:
            fault(f"kind `{rule.kind}` opens something everywhere", "put it into the packs of the places")
        self._rule_shape(rule)
        self._rule_ages(rule, pack)

    def _purpose_words(self, words: tuple[str, ...], rule: Rule | Pack) -> None:
        for word in words:
            if word.startswith(GROUP_PREFIX):
                known = {f"{GROUP_PREFIX}{group}" for group in self._groups}
                self._known([word], known, "group", rule.path, rule.line)
            elif word != ALL:
                self._known([word], self._documents.purposes, "purpose", rule.path, rule.line)

    def _rule_shape(self, rule: Rule) -> None:
        for what, mend in (*_reason_faults(rule), *_effect_faults(rule)):
            self._fault(rule.path, rule.line, f"rule `{rule.id}`: {what}", mend)

    def _rule_ages(self, rule: Rule, pack: Pack) -> None:
        names = [word for word in ((rule.ages.from_age, rule.ages.below) if rule.ages else ()) if isinstance(word, str)]
        if any(name not in pack.ages for name in names):
            self._known(names, pack.ages, "age", rule.path, rule.line)
            return
        for place in {place for name in names for place in pack.ages[name]} or {"default"}:
            threshold = resolve_threshold(rule, pack, place)
            if threshold is not None and not known_threshold(threshold):
                what = f"rule `{rule.id}`: no facts tell ages from {threshold.from_age} below {threshold.below}"
                self._fault(rule.path, rule.line, what, f"use {min(AGES)} to {max(AGES)}, the lower one first")
            elif not expand(rule, threshold):
                what = f"rule `{rule.id}`: it asks for a fact and for its absence"
                self._fault(rule.path, rule.line, what, "remove one of the two from `when`, `ages` or `roles`")

    def _overlaps(self) -> None:
        named: dict[str, list[Pack]] = {}
        for pack in self._documents.packs.values():
            for code in pack.jurisdictions if not pack.everywhere else ():
                named.setdefault(code, []).append(pack)
        for code, packs in named.items():
            for index, pack in enumerate(packs):
                for other in packs[:index]:
                    if _overlap(pack, other):
                        what = f"`{code}` is under `{other.id}` ({other.path}) on the same days as under `{pack.id}`"
                        self._fault(pack.path, pack.line, what, "name the place in one pack, or end one before")

    def _clocks(self) -> None:
        named: dict[tuple[str, str], list[Pack]] = {}
        for pack in self._documents.packs.values():
            for right, clock in pack.clocks.items():
                for other in named.get((clock.regime, right), ()):
                    if _overlap(pack, other):
                        what = (
                            f"`{right}` of `{clock.regime}` has a clock in `{other.id}` ({other.path}) on the same days"
                        )
                        self._fault(pack.path, pack.line, what, "give the regime another name, or end one pack before")
                named.setdefault((clock.regime, right), []).append(pack)


def _overlap(one: Pack, other: Pack) -> bool:
    def before(end: Pack, start: Pack) -> bool:
        return bool(end.effective_to and start.effective_from and end.effective_to <= start.effective_from)

    return not before(one, other) and not before(other, one)


def _reason_faults(rule: Rule) -> Iterator[tuple[str, str]]:
    kind, reason = rule.kind, rule.reason
    if kind in _NEED_REASON and reason is None:
        yield f"kind `{kind}` needs a reason", "add `reason`"
    if reason is not None and kind not in _WITH_REASON and reason.value != kind:
        yield f"kind `{kind}` has its own reason", "remove `reason` or use another kind"
    if reason is not None and kind not in _BARS and reason not in REASON_RANK:
        what = f"`{reason.value}` is a reason for closing, not for opening"
        yield what, nearest(reason.value, (one.value for one in REASON_RANK))
    if rule.default_reason is not None and kind not in _WITH_DEFAULT:
        yield f"kind `{kind}` has no default", "remove `default_reason`"


def _effect_faults(rule: Rule) -> Iterator[tuple[str, str]]:
    kind = rule.kind
    if kind == "bar" and rule.stage is None:
        yield "kind `bar` needs a stage", "add `stage`"
    if rule.stage is not None and kind not in _BARS:
        yield f"kind `{kind}` has no stage", "remove `stage`"
    if kind == "shape" and rule.effect not in BETWEEN:
        yield "kind `shape` needs an effect between allow and withhold", "add `effect: mask`"
    if kind in _BARS and rule.effect not in (None, Effect.WITHHOLD):
        yield f"kind `{kind}` withholds", "remove `effect`, or use kind `shape`"
    if kind not in (*_BARS, "shape") and rule.effect is Effect.WITHHOLD:
        yield f"kind `{kind}` cannot withhold", "use kind `bar` or `prohibited`"
    if kind in ("parent", "minor_opt_in") and rule.ages is None:
        yield f"kind `{kind}` needs ages", "add `ages: {below: 16}`"
    if rule.effective_from and rule.effective_to and rule.effective_from >= rule.effective_to:
        yield "it ends before it begins", "mend `effective_from` or `effective_to`"
