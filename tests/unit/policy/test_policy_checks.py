"""Claims about what `policy check` proves: each planted fault is found, with file, line and mend."""

import pytest

from consent_gateway.policy import Policies, facts, policies_from
from consent_gateway.policy.checks import check_policies
from consent_gateway.policy.proofs import deciding_rules, openings, situations
from consent_gateway.policy.table import evaluate
from tests.unit.policy.conftest import NOON, with_rules

PLANTED = [
    # rules added to the pack at line 14 and on, line of the finding, what it says, its mend
    (
        ["id: aa.dead, kind: bar, when: [restricted, gpc], stage: refusal, reason: gpc"],
        14,
        "rule `aa.dead` decides in no situation",
        "remove it",
    ),
    (
        ["id: aa.never, kind: prohibited, when: [granted, refused], reason: sale_banned"],
        14,
        "rule `aa.never` decides in no situation",
        "mend its conditions",
    ),
    (
        ["id: aa.gone, kind: contract, purposes: [care], effective_to: 2019-01-01"],
        14,
        "rule `aa.gone` is never in force",
        "mend its dates",
    ),
    (
        ["id: aa.nowhere, kind: contract, purposes: [orders], categories: [user.health]"],
        14,
        "rule `aa.nowhere` is never in force",
        "categories",
    ),
    (
        ["id: aa.relabel, kind: relabel, purposes: [care], when: [refused], reason: pecr_statistics_exception"],
        14,
        "rule `aa.relabel` would open what no other ground opens",
        "write `kind: ground`",
    ),
    (
        ["id: aa.open, kind: ground, purposes: [care], when: [gpc], reason: financial_incentive_conflict"],
        14,
        "rule `aa.open` lets the restricting fact `gpc` open `care`",
        "remove the fact from `when`",
    ),
    (
        ["id: aa.lift, kind: bar, when: [granted, not objected], stage: refusal, reason: gpc"],
        14,
        "rule `aa.lift` lets the restricting fact `objected` open",
        "bar the other case too",
    ),
    (
        ["id: aa.coarse, kind: shape, categories: [user.contact], effect: generalise"],
        14,
        "rule `aa.coarse` asks to generalise `user.contact`, `user.contact.email`, for which there is no transform",
        "add a row for generalise",
    ),
    (
        ["id: aa.young, kind: prohibited, ages: {from: 13, below: 16}, reason: minor_prohibited"],
        14,
        "rule `aa.young` lets the restricting fact `under_13` open",
        "bar the other case too",
    ),
]


@pytest.mark.parametrize(("rules", "line", "what", "mend"), PLANTED)
def test_a_planted_fault_is_found(small: dict[str, str], rules: list[str], line: int, what: str, mend: str) -> None:
    """Each fault that only enumeration can find is told with its line and its mend."""
    found = check_policies(policies_from(with_rules(small, *rules)))
    fitting = [one for one in found if (one.path, one.line) == ("packs/aa.yaml", line) and one.what.startswith(what)]
    assert fitting, [str(one) for one in found]
    assert mend in fitting[0].mend


def test_a_field_that_no_purpose_may_use_is_found(small: dict[str, str]) -> None:
    """A field whose categories no single purpose declares together is told at its own line."""
    small["purposes.yaml"] = small["purposes.yaml"].replace("user.health, ", "")
    told = [str(one) for one in check_policies(policies_from(small))]
    assert any(one.startswith("catalogue.yaml:11: no purpose may use the field `health`") for one in told), told
    assert any(one.startswith("catalogue.yaml:13: no purpose may use the field `both`") for one in told)


def test_a_sound_policy_has_no_finding(policies: Policies) -> None:
    """The small policy, in which the faults are planted, has none itself."""
    assert check_policies(policies) == ()


def test_a_policy_that_names_nobody_is_told(small: dict[str, str]) -> None:
    """It loads, for a gateway must start with the policy it had; the check does not let it stand."""
    del small["controller.yaml"]
    (finding,) = check_policies(policies_from(small))
    assert str(finding).startswith("controller.yaml:1: nobody is named who answers for the data")
    assert "write `controller.yaml`" in finding.mend


def test_a_shadowed_rule_is_unreachable(small: dict[str, str]) -> None:
    """Of two bars with the same condition the later one never decides, and that is found."""
    twice = [f"id: aa.gpc-{name}, kind: bar, when: [gpc], stage: objection, reason: gpc" for name in ("a", "b")]
    told = [one.what for one in check_policies(policies_from(with_rules(small, *twice)))]
    assert told == ["rule `aa.gpc-b` decides in no situation: others always speak first"]


def test_a_parent_may_stand_in_for_the_younger_child(small: dict[str, str]) -> None:
    """A rule for teenagers that a parent's authorisation spares the youngest from is no fault."""
    rules = (
        "id: aa.teen, kind: minor_opt_in, purposes: [orders], ages: {from: 13, below: 16}",
        "id: aa.kid, kind: parent, purposes: [orders], ages: {below: 13}",
    )
    assert check_policies(policies_from(with_rules(small, *rules))) == ()
    alone = [one.what for one in check_policies(policies_from(with_rules(small, rules[0])))]
    assert any("`under_13` open" in what for what in alone)


def test_leaving_out_vetoes_loses_no_answer(policies: Policies) -> None:
    """The shortened enumeration finds exactly the rules that the full one finds."""
    segment = policies.rulebook.segment("DE", NOON.date())
    assert segment is not None
    for plan in segment.plans.values():
        for rows in plan.rows.values():
            every = frozenset(row.rule for row in rows.every)
            full = set()
            for bits in facts.situations(rows.relevant):
                outcome = evaluate(rows, bits)
                full |= {outcome.rule, outcome.ground or outcome.rule} & every
            assert deciding_rules(rows, every) == full
            assert list(openings(rows)) == []
            assert len(list(situations(rows))) <= len(list(facts.situations(rows.relevant)))


SEALED = """\
          - name: health
            data_categories: [user.health]
            meta: {protection: sealed, key_class: care}
"""


def with_sealed(small: dict[str, str], **classes: str) -> dict[str, str]:
    """The small policy with a sealed field of class `care`, and these `key_classes` by purpose."""
    small["catalogue.yaml"] = small["catalogue.yaml"].replace(
        "          - name: health\n            data_categories: [user.health]\n", SEALED
    )
    for purpose, words in classes.items():
        start = small["purposes.yaml"].index(f"- key: {purpose}\n")
        end = small["purposes.yaml"].index("    groups:", start)
        text = small["purposes.yaml"]
        small["purposes.yaml"] = f"{text[:end]}    key_classes: [{words}]\n{text[end:]}"
    return small


def test_a_sealed_field_whose_class_its_purposes_open_is_sound(small: dict[str, str]) -> None:
    """A class that the purposes of its field open, and no other purpose, is no finding."""
    assert check_policies(policies_from(with_sealed(small, care="care"))) == ()


@pytest.mark.parametrize(
    ("classes", "where", "what", "mend"),
    [
        ({}, "catalogue.yaml:11", "no purpose opens the key class `care` of the field `health`", "key_classes: [care]"),
        ({}, "purposes.yaml:", "the purpose `care` may ask for the sealed field `health`", "add `care` to its"),
        ({"care": "care, cars"}, "purposes.yaml:", "the purpose `care` opens the key class `cars`", "did you mean"),
        ({"care": "care", "orders": "care"}, "purposes.yaml:2:", "the purpose `orders` opens", "remove `care` from"),
    ],
)
def test_classes_and_purposes_that_do_not_fit_are_found(
    small: dict[str, str], classes: dict[str, str], where: str, what: str, mend: str
) -> None:
    """A class nobody opens, one that no field names, one missing where it is needed and one too many are each told."""
    told = [str(one) for one in check_policies(policies_from(with_sealed(small, **classes)))]
    fitting = [one for one in told if one.startswith(where) and what in one and mend in one]
    assert len(fitting) == 1, told
