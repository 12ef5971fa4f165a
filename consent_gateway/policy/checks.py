"""What can be proved about a whole policy before it decides anything; changes nothing.

The documents passed the reference checks already. Here: rules that never decide, relabels that nothing opens
for, restricting facts that open, fields that no purpose may use, effects that no transform carries out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from consent_gateway.policy.compiler import reach_of
from consent_gateway.policy.controllers import unnamed
from consent_gateway.policy.documents import Documents, Rule
from consent_gateway.policy.facts import names_of
from consent_gateway.policy.findings import Finding, nearest
from consent_gateway.policy.ir import Default, Program, Rows, Segment
from consent_gateway.policy.loading import Policies
from consent_gateway.policy.notices import ASKING, FOLDER
from consent_gateway.policy.proofs import Signature, deciding_rules, openings, signature
from consent_gateway.policy.schemas import BETWEEN
from consent_gateway.policy.table import Outcome, evaluate
from consent_gateway.vocabulary import Effect

ANSWERED = frozenset(
    {
        "legitimate_interest",
        "consent",
        "explicit_consent",
        "sensitive_opt_in",
        "soft_opt_in",
        "implied",
        "opt_out_model",
        "off_by_default",
        "minor_opt_in",
    }
)
"""Kinds of rules that a person's own yes or no opens or ends."""


@dataclass(frozen=True, slots=True)
class _Where:
    """One place where rows hold, as an example."""

    segment: Segment
    purpose: str
    category: str

    def __str__(self) -> str:
        return f"`{self.purpose}` of `{self.category}` in {self.segment.place}"


def check_policies(policies: Policies) -> tuple[Finding, ...]:
    """Everything that does not stand, in order of file and line; empty for a sound policy."""
    documents = policies.documents
    distinct = _distinct_rows(policies.rulebook.program)
    found = [
        *_unreachable(documents, distinct),
        *_openings(documents, distinct),
        *_unusable_fields(documents),
        *_key_classes(documents),
        *_without_notice(documents),
        *_missing_transforms(policies),
        *unnamed(policies.documents.controllers),
    ]
    return tuple(sorted(set(found)))


ObligationFaults = Callable[[str, Mapping[str, object]], Iterable[str]]
"""What is wrong with a transform's name and parameters, each a sentence with its mend after a colon if it has one."""


TypeFault = Callable[[str, str], str | None]
"""What is wrong with a transform's name on a field's data type, a sentence as the others; None if nothing."""


def check_obligations(policies: Policies, faults_of: ObligationFaults, type_fault_of: TypeFault) -> tuple[Finding, ...]:
    """Every transform that the policy asks for and cannot be carried out, by file and line.

    The data type is compared where a field names its transform itself. A row for a whole category is not: there a
    transform that makes nothing of a column of another type hides it, as it should.
    """
    documents = policies.documents
    asked = [("transforms.yaml", row.line, row.obligation) for row in documents.transforms]
    for column in documents.catalogue.fields.values():
        asked += [(documents.catalogue.path, column.line, one) for one in column.transforms.values()]
    faults = [
        (path, line, fault)
        for path, line, obligation in asked
        for fault in faults_of(obligation.transform, dict(obligation.parameters))
    ]
    for column in documents.catalogue.fields.values():
        for one in column.transforms.values():
            unfit = type_fault_of(one.transform, column.data_type)
            faults += [] if unfit is None else [(documents.catalogue.path, column.line, unfit)]
    found = []
    for path, line, fault in faults:
        what, _, mend = fault.partition(": ")
        found.append(Finding(path, line, what, mend or "see docs/reference/transforms.md"))
    return tuple(sorted(set(found)))


def _distinct_rows(program: Program) -> list[tuple[Rows, _Where]]:
    found: dict[int, tuple[Rows, _Where]] = {}
    for segments in program.places.values():
        for segment in segments:
            for purpose, plan in segment.plans.items():
                for category, rows in plan.rows.items():
                    found.setdefault(id(rows), (rows, _Where(segment, purpose, category)))
    return list(found.values())


def _rules_in(rows: Rows) -> set[str]:
    return {row.rule for row in rows.every}


def _unreachable(documents: Documents, distinct: list[tuple[Rows, _Where]]) -> Iterator[Finding]:
    rules = documents.rules()
    in_force: set[str] = set()
    pending = set(rules)
    for rows, _ in distinct:
        here = _rules_in(rows)
        in_force |= here
        if here & pending:
            pending -= deciding_rules(rows, frozenset(here & pending))
    for name in sorted(pending):
        rule = rules[name]
        what, mend = _why_unreachable(rule, held=name in in_force)
        yield Finding(rule.path, rule.line, f"rule `{name}` {what}", mend)


def _why_unreachable(rule: Rule, *, held: bool) -> tuple[str, str]:
    if not held:
        return (
            "is never in force: no place, day, purpose and category meet in it",
            "mend its dates, purposes or categories, or remove it",
        )
    if rule.kind == "relabel":
        return (
            "would open what no other ground opens with the same effect, so it never speaks",
            "write `kind: ground` if it shall open, or mend `when` and `effect`",
        )
    return "decides in no situation: others always speak first", "mend its conditions, or remove it"


def _openings(documents: Documents, distinct: list[tuple[Rows, _Where]]) -> Iterator[Finding]:
    rules = documents.rules()
    checked: set[Signature] = set()
    told: set[tuple[str, str]] = set()
    for rows, where in distinct:
        mark = signature(rows)
        if mark in checked:
            continue
        checked.add(mark)
        for opening in openings(rows):
            before, after = evaluate(rows, opening.before), evaluate(rows, opening.after)
            added = ", ".join(names_of(opening.after & ~opening.before))
            rule = rules[_responsible(before, after)]
            if (rule.id, added) in told:
                continue
            told.add((rule.id, added))
            held = ", ".join(names_of(opening.before)) or "nothing"
            what = (
                f"rule `{rule.id}` lets the restricting fact `{added}` open {where}: with {held} it is "
                f"{before.effect.word} ({before.rule}), with `{added}` {after.effect.word} ({after.rule})"
            )
            yield Finding(rule.path, rule.line, what, "remove the fact from `when`, or bar the other case too")


def _responsible(before: Outcome, after: Outcome) -> str:
    """The rule that stopped to close where it is one of a pack, else the one that began to open."""
    if before.rule.startswith("gateway."):
        return after.ground or after.rule
    return before.rule


def _unusable_fields(documents: Documents) -> Iterator[Finding]:
    catalogue = documents.catalogue
    for field in catalogue.fields.values():
        if not any(purpose.touches(field.categories) for purpose in documents.purposes.values()):
            named = ", ".join(f"`{category}`" for category in field.categories)
            what = f"no purpose may use the field `{field.name}` ({named})"
            yield Finding(catalogue.path, field.line, what, "declare the category for a purpose, or mend the field")


def _without_notice(documents: Documents) -> Iterator[Finding]:
    """What a person answers and no notice asks for, in a policy that has notices: nobody could record a yes to it.

    Whoever objected to a purpose on another ground than consent must be able to allow it again, so it needs one too.
    """
    if not documents.notices:
        return
    told = {purpose for one in documents.notices.values() if one.kind in ASKING for purpose in one.purposes}
    answered = {
        purpose
        for rule in documents.rules().values()
        if rule.kind in ANSWERED
        for purpose in reach_of(rule, documents).purposes
    }
    for key, purpose in documents.purposes.items():
        chosen = "choice" in purpose.groups
        if key not in told and (chosen or key in answered):
            why = "is the person's own choice" if chosen else "can be objected to, and must be allowed again by a yes"
            mend = f"write `{FOLDER}{key}.yaml`, or add it to a notice of kind `choice`"
            yield Finding(documents.paths["purposes"], purpose.line, f"no notice asks for `{key}`, which {why}", mend)


def _key_classes(documents: Documents) -> Iterator[Finding]:
    """Sealed fields and purposes must agree on classes: else a field opens for nobody, or a whole read is refused."""
    catalogue, purposes = documents.catalogue, documents.purposes
    classes = catalogue.key_classes
    opened = {one for purpose in purposes.values() for one in purpose.key_classes}
    for name, key_class in classes.items():
        if key_class not in opened:
            what = f"no purpose opens the key class `{key_class}` of the field `{name}`"
            mend = f"add `key_classes: [{key_class}]` to a purpose, or mend the class; {nearest(key_class, opened)}"
            yield Finding(catalogue.path, catalogue.fields[name].line, what, mend)
    for purpose in purposes.values():
        path = documents.paths["purposes"]
        for word in sorted(set(purpose.key_classes) - set(classes.values())):
            what = f"the purpose `{purpose.key}` opens the key class `{word}`, which no sealed field names"
            yield Finding(path, purpose.line, what, nearest(word, set(classes.values())))
        touched = {one for name, one in classes.items() if purpose.touches(catalogue.fields[name].categories)}
        for word in sorted(set(purpose.key_classes) & set(classes.values()) - touched):
            what = f"the purpose `{purpose.key}` opens the key class `{word}`, but may ask for none of its fields"
            yield Finding(path, purpose.line, what, f"remove `{word}` from its `key_classes`")
        for name, key_class in classes.items():
            if key_class not in purpose.key_classes and purpose.touches(catalogue.fields[name].categories):
                what = (
                    f"the purpose `{purpose.key}` may ask for the sealed field `{name}`, but does not open its key"
                    f" class `{key_class}`, so such a read would be refused whole"
                )
                mend = f"add `{key_class}` to its `key_classes`, or declare narrower categories"
                yield Finding(path, purpose.line, what, mend)


def _missing_transforms(policies: Policies) -> Iterator[Finding]:
    rules = policies.documents.rules()
    missing: dict[tuple[str, Effect], set[str]] = {}
    seen: set[tuple[int, str]] = set()
    for segments in policies.rulebook.program.places.values():
        for segment in segments:
            for plan in segment.plans.values():
                for category, rows in plan.rows.items():
                    if (id(rows), category) in seen:
                        continue
                    seen.add((id(rows), category))
                    for asking, effect in _effects_in(rows):
                        if policies.rulebook.transform(category, effect) is None:
                            missing.setdefault((asking, effect), set()).add(category)
    for (name, effect), categories in sorted(missing.items()):
        rule = rules[name]
        shown = ", ".join(f"`{category}`" for category in sorted(categories)[:4])
        more = f" and {len(categories) - 4} more" if len(categories) > 4 else ""
        what = f"rule `{name}` asks to {effect.word} {shown}{more}, for which there is no transform"
        yield Finding(rule.path, rule.line, what, f"add a row for {effect.word} to `transforms.yaml`")


def _effects_in(rows: Rows) -> set[tuple[str, Effect]]:
    return {(row.rule, row.effect) for row in rows.every if not isinstance(row, Default) and row.effect in BETWEEN}
