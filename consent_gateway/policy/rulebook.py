"""The compiled policy as `decide` uses it: programs, catalogue and transforms, and a bounded memory of answers.

The memory only spares work: every answer in it is a function of its key alone.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from consent_gateway.policy.compiler import normalise_place
from consent_gateway.policy.documents import ALL, Documents, covers
from consent_gateway.policy.facts import names_of
from consent_gateway.policy.ir import Plan, Program, Segment
from consent_gateway.policy.notices import ASKING
from consent_gateway.policy.situation import condition_bits, recipient_bits
from consent_gateway.policy.table import BUILT_IN_PREFIX, Outcome, built_in, evaluate, gravity
from consent_gateway.vocabulary import Effect, Obligation, Reason, Verdict

MEMORY = 65536
"""How many answers are remembered before memory starts afresh."""


@dataclass(frozen=True, slots=True)
class RuleText:
    """One rule for a reader: `text` is the rule as it stands in the policy file."""

    id: str
    pack: str
    version: str
    source: str
    kind: str
    text: str


_BUILT_IN_TEXTS = MappingProxyType(
    {
        "error": "an error while deciding; everything is withheld",
        "unknown-purpose": "the purpose is not one of the policy's",
        "unknown-category": "the category or field is not one of the policy's",
        "unknown-jurisdiction": "no pack speaks for the place on that day",
        "special-category": "a special category that the purpose does not declare",
        "category-not-declared-for-purpose": "the purpose does not declare the category",
        "unknown-recipient": "the recipient is not one of the policy's",
        "unknown-channel": "the channel is not one of the policy's",
        "recipient-purpose": "the recipient may not receive for this purpose",
        "unknown-obligation": "no transform is declared for the effect and category",
        "unknown-state": "the recorded state is not one of ours",
    }
)


_UNKNOWN_CATEGORY = built_in(Reason.UNKNOWN_CATEGORY)
_SPECIAL_CATEGORY = built_in(Reason.SPECIAL_CATEGORY)
_NOT_DECLARED = built_in(Reason.CATEGORY_NOT_DECLARED_FOR_PURPOSE)


class Rulebook:
    """Everything that `decide` looks up. Safe to share between threads."""

    def __init__(self, documents: Documents, program: Program, revision: str) -> None:
        self.documents = documents
        self.program = program
        self.revision = revision
        self.channels: Mapping[str, int] = {
            key: condition_bits(channel.conditions) for key, channel in documents.channels.items()
        }
        self._notices = {
            purpose: notice
            for notice in documents.notices.values()
            if notice.kind in ASKING
            for purpose in notice.purposes
        }
        self._accepted: dict[tuple[str, date], frozenset[str]] = {}
        self._starts = {
            place: [segment.start.toordinal() for segment in segments] for place, segments in program.places.items()
        }
        self._ends = {
            place: [segment.until.toordinal() if segment.until else date.max.toordinal() + 1 for segment in segments]
            for place, segments in program.places.items()
        }
        self._rules = documents.rules()
        self._transforms = {(key, row.effect): row.obligation for row in documents.transforms for key in row.categories}
        special = [one.key for one in documents.categories.values() if one.special]
        self._undeclared = {
            key: _SPECIAL_CATEGORY if any(covers(one, key) for one in special) else _NOT_DECLARED
            for key in documents.categories
        }
        self._fields = {
            field.name: field
            for field in documents.catalogue.fields.values()
            if field.categories and all(category in documents.categories for category in field.categories)
        }
        self._outcomes: dict[tuple[int, int], Outcome] = {}
        self._verdicts: dict[tuple[int, tuple[str, ...], int], Mapping[str, Verdict]] = {}
        self._names: dict[int, tuple[str, ...]] = {}
        self._plain_verdicts: dict[tuple[Effect, Reason, str], Verdict] = {}
        self._recipients: dict[tuple[str, str, frozenset[str]], int | Verdict] = {}

    def place(self, jurisdiction: str) -> str | None:
        """The code under which the policy knows a jurisdiction: its own, its country's, or none."""
        if jurisdiction in self._starts:
            return jurisdiction
        code = normalise_place(jurisdiction)
        while code and code not in self._starts:
            code = code.rpartition("-")[0]
        return code or None

    def accepted_notices(self, purpose: str, day: date) -> frozenset[str] | None:
        """Versions of the purpose's notice under which a grant holds on the day; None where it has no notice."""
        notice = self._notices.get(purpose)
        if notice is None:
            return None
        current = notice.current(day)
        key = (notice.notice_id, current.effective_from if current else date.min)
        if key not in self._accepted:
            self._accepted[key] = notice.accepted(day)
        return self._accepted[key]

    def segment(self, jurisdiction: str | None, day: date) -> Segment | None:
        """The rules of a place on a day, or None where no pack speaks for it."""
        place = None if jurisdiction is None else self.place(jurisdiction)
        if place is None:
            return None
        ordinal = day.toordinal()
        index = bisect_right(self._starts[place], ordinal) - 1
        if index < 0 or ordinal >= self._ends[place][index]:
            return None
        return self.program.places[place][index]

    def outcome(self, plan: Plan, category: str, bits: int) -> Outcome:
        """What a plan says about a category; denials for one that is unknown or not declared."""
        rows = plan.rows.get(category)
        if rows is None:
            return self._undeclared.get(category, _UNKNOWN_CATEGORY)
        key = (id(rows), bits & rows.relevant)
        known = self._outcomes.get(key)
        if known is None:
            known = evaluate(rows, bits)
            if len(self._outcomes) >= MEMORY:
                self._outcomes.clear()
            self._outcomes[key] = known
        return known

    def transform(self, category: str, effect: Effect) -> Obligation | None:
        """The transform for an effect: the one of the longest category that covers this one."""
        key = category
        while key:
            found = self._transforms.get((key, effect))
            if found is not None:
                return found
            key = key.rpartition(".")[0]
        return None

    def category_verdict(self, plan: Plan, category: str, bits: int) -> Verdict:
        """The verdict for a category by itself, with the obligations of the transforms file."""
        outcome = self.outcome(plan, category, bits)
        return _with_obligation(outcome, self.transform(category, outcome.effect))

    def field_verdict(self, plan: Plan, name: str, bits: int) -> Verdict:
        """The verdict for a catalogue field: the most closed of its categories."""
        field = self._fields.get(name)
        if field is None:
            return denial(Reason.UNKNOWN_CATEGORY)
        category = field.categories[0]
        outcome = self.outcome(plan, category, bits)
        if len(field.categories) > 1:
            every = [(self.outcome(plan, one, bits), one) for one in field.categories]
            outcome, category = min(every, key=lambda one: (*gravity(one[0]), one[1]))
        if outcome.effect is Effect.WITHHOLD or outcome.effect is Effect.ALLOW:
            return self._plain(outcome)
        own = field.transforms.get(outcome.effect)
        return _with_obligation(outcome, own or self.transform(category, outcome.effect))

    def knows(self, name: str) -> bool:
        """Whether the catalogue holds the field and each of its categories is one of the policy's."""
        return name in self._fields

    def _plain(self, outcome: Outcome) -> Verdict:
        """The verdict of an outcome that asks for no transform; there are no more of them than rules and reasons."""
        key = (outcome.effect, outcome.reason, outcome.rule)
        known = self._plain_verdicts.get(key)
        if known is None:
            known = self._plain_verdicts[key] = Verdict(outcome.effect, outcome.reason, outcome.rule)
        return known

    def verdicts(self, plan: Plan, fields: tuple[str, ...], bits: int) -> Mapping[str, Verdict]:
        """A verdict for each field, in the order asked for."""
        key = (id(plan), fields, bits & plan.relevant)
        known = self._verdicts.get(key)
        if known is None:
            known = MappingProxyType({name: self.field_verdict(plan, name, bits) for name in fields})
            if len(self._verdicts) >= MEMORY:
                self._verdicts.clear()
            self._verdicts[key] = known
        return known

    def recipient(self, name: str, purpose: str, segment: Segment) -> int | Verdict:
        """The facts of a recipient, or the denial of one that may not receive for the purpose."""
        key = (name, purpose, segment.parameters.home)
        known = self._recipients.get(key)
        if known is None:
            known = self._read_recipient(name, purpose, segment)
            if name in self.documents.recipients:  # names that callers invent are not worth remembering
                self._recipients[key] = known
        return known

    def _read_recipient(self, name: str, purpose: str, segment: Segment) -> int | Verdict:
        recipient = self.documents.recipients.get(name)
        if recipient is None:
            return denial(Reason.CALLER_NOT_PERMITTED, "unknown-recipient")
        if ALL not in recipient.purposes and purpose not in recipient.purposes:
            return denial(Reason.CALLER_NOT_PERMITTED, "recipient-purpose")
        return recipient_bits(recipient, segment.parameters.home)

    def names(self, bits: int) -> tuple[str, ...]:
        """Names of the facts that hold."""
        known = self._names.get(bits)
        if known is None:
            known = names_of(bits)
            if len(self._names) >= MEMORY:
                self._names.clear()
            self._names[bits] = known
        return known

    def rule(self, rule_id: str) -> RuleText:
        """The text of a rule, or of a built-in denial. Raises `KeyError` for an id of neither."""
        if rule_id.startswith(BUILT_IN_PREFIX):
            word = rule_id.removeprefix(BUILT_IN_PREFIX)
            text = _BUILT_IN_TEXTS.get(word, f"no rule opens this: {word.replace('-', ' ')}")
            return RuleText(
                rule_id, "gateway", self.revision, "built in: what is not known is denied", "built_in", text
            )
        rule = self._rules[rule_id]
        return RuleText(rule.id, rule.pack, self.documents.packs[rule.pack].version, rule.source, rule.kind, rule.text)


def denial(reason: Reason, word: str | None = None) -> Verdict:
    """A verdict of the gateway itself."""
    rule = built_in(reason).rule if word is None else f"{BUILT_IN_PREFIX}{word}"
    return Verdict(Effect.WITHHOLD, reason, rule)


def _with_obligation(outcome: Outcome, obligation: Obligation | None) -> Verdict:
    if outcome.effect in (Effect.ALLOW, Effect.WITHHOLD):
        return Verdict(outcome.effect, outcome.reason, outcome.rule)
    if obligation is None:
        return denial(Reason.UNKNOWN_OBLIGATION)
    return Verdict(outcome.effect, outcome.reason, outcome.rule, (obligation,))
