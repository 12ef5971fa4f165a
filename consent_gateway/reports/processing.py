"""Records of processing (GDPR Art. 30), as declared and as the log shows it, with what differs; decides nothing.

Declared is what catalogue, purposes, packs and recipients of the present revision say. What went out under an earlier
revision is held against the present one, and the revision stands beside it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from consent_gateway.policy import Policies
from consent_gateway.policy.controllers import OFFICER, controllers_on
from consent_gateway.policy.documents import ALL, GROUP_PREFIX, Purpose, Rule
from consent_gateway.policy.schemas import BASES
from consent_gateway.reports.model import Asked, Report, Row, Table
from consent_gateway.reports.observed import USES, Key, Use, uses
from consent_gateway.reports.source import Source, words
from consent_gateway.vocabulary import COMPANY

NAME, TITLE = "processing", "Records of processing activities"

_NOTES = (
    (
        "A field counts as released where its verdict was anything but `withhold`. A decision asked for without data is"
        " counted with the reads."
    ),
    (
        "Who answers (Art. 30(1)(a)) is as `controller.yaml` names it on the day of the report. The general description"
        " of security measures (g) is kept outside the gateway; of it the gateway knows how each field is protected."
    ),
)


def processing(source: Source, asked: Asked) -> Report:
    """The report. Of what is asked, the period and `caller` count."""
    policies = source.policies
    observed = uses(source.entries(USES, asked))
    drift = tuple(_drift(policies, observed))
    responsible = tuple(_responsible(policies, source.now.date()))
    tables = (
        Table("responsible", "Who answers for the data", _RESPONSIBLE, responsible),
        Table("purposes", "Purposes", _PURPOSES, tuple(_purpose(policies, one) for one in policies.purposes.values())),
        Table("fields", "Fields and how long they are kept", _FIELDS, tuple(_fields(policies))),
        Table("observed", "What the log shows", _OBSERVED, tuple(_observed(policies, observed))),
        Table("drift", "Where the two differ", _DRIFT, drift),
    )
    kinds = Counter(str(row[0]) for row in drift)
    figures = {
        "responsible_named": len(responsible),
        "purposes_declared": len(policies.purposes),
        "purposes_observed": len({key[1] for key, use in observed.items() if use.opened}),
        "fields_released": sum(use.opened for use in observed.values()),
        "fields_withheld": sum(use.withheld for use in observed.values()),
        "released_undeclared": kinds["released_undeclared"],
        "asked_undeclared": kinds["asked_undeclared"],
        "declared_unused": kinds["declared_unused"],
    }
    return source.report(NAME, TITLE, asked, figures, tables, _NOTES)


_RESPONSIBLE = ("who", "name", "address", "email", "phone", "place", "since", "source")


def _responsible(policies: Policies, day: date) -> Iterator[Row]:
    """Who answers on the day; where no officer does, why the law asks for none."""
    found = controllers_on(policies.documents.controllers, day)
    if found is None:
        return
    since = found.effective_from.isoformat()
    for one in found.contacts:
        yield (*one.as_json().values(), since, found.source)
    if found.no_officer is not None:
        yield (OFFICER, f"none: {found.no_officer}", None, None, None, None, since, found.source)


_PURPOSES = (
    "purpose", "name", "description", "dpv", "fideslang", "bases", "categories", "fields", "recipients", "key_classes",
)  # fmt: skip


def _purpose(policies: Policies, purpose: Purpose) -> Row:
    catalogue, recipients = policies.catalogue, policies.recipients.values()
    return (
        purpose.key,
        purpose.name,
        purpose.description,
        purpose.dpv,
        purpose.fideslang,
        words(bases(policies, purpose)),
        words(purpose.categories),
        words(name for name, one in catalogue.fields.items() if one.personal and purpose.touches(one.categories)),
        words(one.key for one in recipients if purpose.key in one.purposes),
        words(purpose.key_classes),
    )


def bases(policies: Policies, purpose: Purpose) -> set[str]:
    """The kinds of basis on which some pack lets the purpose go on, each with the packs that know it."""
    found = set()
    for pack in policies.documents.packs.values():
        found |= {f"{rule.kind}({pack.id})" for rule in pack.rules if rule.kind in BASES and _speaks_of(rule, purpose)}
    return found


def _speaks_of(rule: Rule, purpose: Purpose) -> bool:
    def named(names: Sequence[str]) -> bool:
        said = {ALL, purpose.key, *(f"{GROUP_PREFIX}{group}" for group in purpose.groups)}
        return not said.isdisjoint(names)

    return named(rule.purposes) and not named(rule.except_purposes)


_FIELDS = ("field", "categories", "special", "protection", "key_class", "retention", "schedules", "purposes")


def _fields(policies: Policies) -> Iterator[Row]:
    known = policies.documents.categories
    for name, one in policies.catalogue.fields.items():
        if not one.personal:
            continue
        covering = (
            schedule.id
            for schedule in policies.documents.retention.schedules
            if schedule.covers(name, one.collection, one.categories)
        )
        yield (
            name,
            words(one.categories),
            any(known[key].special for key in one.categories if key in known),
            one.protection,
            one.key_class,
            one.retention,
            words(covering),
            words(purpose.key for purpose in policies.purposes.values() if purpose.touches(one.categories)),
        )


_OBSERVED = (
    "action", "purpose", "recipient", "field", "revision", "declared", "released", "withheld", "people",
    "first_index", "last_index", "last_at_utc",
)  # fmt: skip


def _observed(policies: Policies, observed: Mapping[Key, Use]) -> Iterator[Row]:
    for key, use in observed.items():
        counted = (use.opened, use.withheld, len(use.people), use.first, use.last, use.last_at)
        yield (*key, undeclared(policies, key) is None, *counted)


_DRIFT = ("kind", "what", "purpose", "recipient", "field", "revision", "times", "first_index", "last_index")


def _drift(policies: Policies, observed: Mapping[Key, Use]) -> Iterator[Row]:
    """What went out or was asked for without a declaration, then what is declared and never happened."""
    for key, use in observed.items():
        what = undeclared(policies, key)
        if what is None:
            continue
        _action, purpose, recipient, name, revision = key
        place = (what, purpose, recipient, name, revision)
        if use.opened:
            yield ("released_undeclared", *place, use.opened, use.first, use.last)
        if use.withheld:
            yield ("asked_undeclared", *place, use.withheld, None, None)
    seen = {(key[1], key[2]) for key, use in observed.items() if use.opened}
    for purpose in sorted(set(policies.purposes) - {used for used, _recipient in seen}):
        yield ("declared_unused", "purpose", purpose, None, None, None, 0, None, None)
    for one in policies.recipients.values():
        for purpose in sorted(set(one.purposes)):
            if (purpose, one.key) not in seen:
                yield ("declared_unused", "recipient", purpose, one.key, None, None, 0, None, None)


def undeclared(policies: Policies, key: Key) -> str | None:
    """What of a use the policy does not declare: `purpose`, `recipient` or `field`; None where it declares all."""
    _action, purpose, recipient, name, _revision = key
    declared = policies.purposes.get(purpose)
    if declared is None:
        return "purpose"
    known = policies.recipients.get(recipient)
    if recipient != COMPANY and (known is None or purpose not in known.purposes):
        return "recipient"
    one = policies.catalogue.fields.get(name)
    return None if one is not None and declared.touches(one.categories) else "field"
