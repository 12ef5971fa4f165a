"""Claims about the decision: what opens, what closes, and whose reason is given."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from consent_gateway.policy import Policies, decide, decide_category, policies_from
from consent_gateway.policy.facts import BIT, STATUS_BITS
from consent_gateway.vocabulary import AccessRequest, Choice, ChoiceStatus, Effect, Facts, Obligation, Reason
from tests.unit.policy.conftest import EMAIL, NOON, ask, told, with_rules

GRANTED = ChoiceStatus.GRANTED
ORDINARY = [
    ({}, ("withhold", "no_consent", "gateway.no-consent")),
    ({"choice": {"status": GRANTED}}, ("allow", "consent", "aa.email")),
    ({"choice": {"status": ChoiceStatus.GRANTED_EXPLICIT}}, ("allow", "consent", "aa.email")),
    ({"choice": {"status": ChoiceStatus.REQUESTED}}, ("withhold", "not_yet_given", "gateway.not-yet-given")),
    ({"choice": {"status": ChoiceStatus.REFUSED}}, ("withhold", "refused", "gateway.refused")),
    ({"choice": {"status": ChoiceStatus.WITHDRAWN}}, ("withhold", "withdrawn", "floor.withdrawn")),
    ({"choice": {"status": "maybe"}}, ("withhold", "unknown_state", "gateway.unknown-state")),
    ({"choice": {"status": GRANTED}, "restricted": True}, ("withhold", "restriction", "floor.restricted")),
    ({"choices": {}}, ("withhold", "no_consent", "gateway.no-consent")),
    ({"choice": {"status": GRANTED}, "minor_born": date(1990, 1, 1)}, ("allow", "consent", "aa.email")),
    ({"purpose": "orders"}, ("allow", "contract", "aa.orders")),
    ({"purpose": "orders", "choice": {"status": "maybe"}}, ("withhold", "unknown_state", "gateway.unknown-state")),
    ({"purpose": "nonsense"}, ("withhold", "unknown_purpose", "gateway.unknown-purpose")),
    ({"purpose": "nonsense", "field": "nonsense"}, ("withhold", "unknown_purpose", "gateway.unknown-purpose")),
    ({"field": "nonsense"}, ("withhold", "unknown_category", "gateway.unknown-category")),
    ({"field": "nonsense", "jurisdiction": "IT"}, ("withhold", "unknown_category", "gateway.unknown-category")),
    ({"jurisdiction": "IT"}, ("withhold", "unknown_jurisdiction", "gateway.unknown-jurisdiction")),
    ({"jurisdiction": None}, ("withhold", "unknown_jurisdiction", "gateway.unknown-jurisdiction")),
    ({"field": "health"}, ("withhold", "special_category", "gateway.special-category")),
    ({"field": "both"}, ("withhold", "special_category", "gateway.special-category")),
    (
        {"field": "id"},
        ("withhold", "category_not_declared_for_purpose", "gateway.category-not-declared-for-purpose"),
    ),
    ({"request": {"recipient": "nobody"}}, ("withhold", "caller_not_permitted", "gateway.unknown-recipient")),
    (
        {"purpose": "orders", "request": {"recipient": "mailer"}},
        ("withhold", "caller_not_permitted", "gateway.recipient-purpose"),
    ),
    ({"request": {"channel": "elsewhere"}}, ("withhold", "caller_not_permitted", "gateway.unknown-channel")),
    (
        {"request": {"channel": "elsewhere"}, "field": "nonsense"},
        ("withhold", "unknown_category", "gateway.unknown-category"),
    ),
    (
        {"choice": {"status": GRANTED}, "request": {"recipient": "far"}},
        ("withhold", "transfer_without_safeguard", "aa.transfer"),
    ),
    ({"choice": {"status": GRANTED}, "request": {"recipient": "broker"}}, ("allow", "consent", "aa.email")),
    ({"choice": {"status": GRANTED}, "request": {"recipient": "mailer"}}, ("allow", "consent", "aa.email")),
    (
        {"choice": {"status": GRANTED}, "minor_born": date(2012, 1, 1)},
        ("withhold", "below_digital_age", "aa.child"),
    ),
    (
        {"choice": {"status": GRANTED}, "minor_born": date(2012, 1, 1), "parental_authorisation": True},
        ("allow", "parental_consent", "aa.email"),
    ),
    ({"purpose": "care", "choice": {"status": GRANTED}}, ("withhold", "explicit_consent_required", "aa.care")),
]


@pytest.mark.parametrize(("given", "expected"), ORDINARY)
def test_the_ordinary_cases(policies: Policies, given: dict[str, object], expected: tuple[str, str, str]) -> None:
    """Each situation has the effect, reason and rule that the small policy means."""
    assert told(ask(policies, **given)) == expected  # type: ignore[arg-type]


def test_a_decision_says_what_it_rested_on(policies: Policies) -> None:
    """Pack, revision, place, facts and consent event stand in the decision, and fields keep their order."""
    choice = Choice(EMAIL, GRANTED, given_at=NOON, event_id="evt_9")
    request = AccessRequest("c", "shop", EMAIL, ("visits", "email", "email"), NOON, gpc=True)
    decision = decide(policies.rulebook, request, Facts("de", {EMAIL: choice}, member=True))
    assert (decision.pack, decision.revision, decision.jurisdiction) == ("aa@7", policies.revision, "de")
    assert decision.consent_event == "evt_9"
    assert decision.facts == ("granted", "gpc", "member", "existing_customer")
    assert tuple(decision.verdicts) == ("visits", "email")
    assert decision.open_fields == ("visits", "email")


def test_a_decision_without_fields_opens_nothing(policies: Policies) -> None:
    """No field asked for gives no verdict."""
    decision = decide(policies.rulebook, AccessRequest("c", "shop", EMAIL, (), NOON), Facts("DE"))
    assert decision.verdicts == {}


@pytest.mark.parametrize("broken", [{"time": None}, {"time": datetime(2026, 11, 22)}])  # noqa: DTZ001 - the point
def test_an_error_denies_everything(policies: Policies, broken: dict[str, object]) -> None:
    """What cannot be decided is withheld by `gateway.error`, with the kind of error among the facts."""
    request = AccessRequest("c", "shop", EMAIL, ("email", "visits"), **{"time": NOON, **broken})  # type: ignore[arg-type]
    choice = Choice(EMAIL, GRANTED, given_at=NOON)
    decision = decide(policies.rulebook, request, Facts("DE", {EMAIL: choice}, minor_born=date(2015, 1, 1)))
    assert {told(verdict) for verdict in decision.verdicts.values()} == {("withhold", "unknown_state", "gateway.error")}
    assert decision.facts[0].startswith("error ")


def test_facts_that_are_none_deny(policies: Policies) -> None:
    """Even facts that are not there at all deny."""
    request = AccessRequest("c", "shop", EMAIL, ("email",), NOON)
    assert decide(policies.rulebook, request, None).verdicts["email"].rule == "gateway.error"  # type: ignore[arg-type]


def test_a_broken_mapping_denies(policies: Policies) -> None:
    """Facts that are not what their type says deny, and nothing is raised."""
    request = AccessRequest("c", "shop", EMAIL, ("email",), NOON)
    decision = decide(policies.rulebook, request, Facts("DE", 5))  # type: ignore[arg-type]
    assert decision.verdicts["email"].rule == "gateway.error"


def test_a_refusal_of_every_purpose_binds_each(policies: Policies) -> None:
    """An objection recorded for the whole person counts for the purpose asked about; a whole-person grant does not."""
    rules = with_rules(
        _texts(policies), "id: aa.objected, kind: bar, when: [objected], stage: objection, reason: objection"
    )
    other = policies_from(rules)
    everything = Choice("*", GRANTED, given_at=NOON, objected=True)
    facts = Facts("DE", {EMAIL: Choice(EMAIL, GRANTED, given_at=NOON), "*": everything})
    request = AccessRequest("c", "shop", EMAIL, ("email",), NOON)
    assert decide(other.rulebook, request, facts).verdicts["email"].reason is Reason.OBJECTION
    lone = Facts("DE", {"*": replace(everything, objected=False)})
    assert decide(other.rulebook, request, lone).verdicts["email"].reason is Reason.NO_CONSENT


def _texts(policies: Policies) -> dict[str, str]:
    return dict(policies.sources)


def test_a_grant_acts_from_its_time_until_its_end(policies: Policies) -> None:
    """A grant is none before it is given, holds from that moment, and has expired at its end."""

    def reason(given: datetime | None, until: datetime | None = None) -> Reason:
        return ask(policies, choice={"status": GRANTED, "given_at": given, "valid_until": until}).reason

    second = timedelta(seconds=1)
    assert reason(NOON + second) is Reason.NO_CONSENT
    assert reason(NOON) is Reason.CONSENT
    assert reason(NOON, NOON + second) is Reason.CONSENT
    assert reason(NOON, NOON) is Reason.EXPIRED
    two_years = datetime(2024, 11, 22, 12, 0, tzinfo=UTC)
    assert reason(two_years + second) is Reason.CONSENT
    assert reason(two_years) is Reason.EXPIRED
    assert reason(None) is Reason.EXPIRED


def test_the_day_is_a_day_in_utc(small: dict[str, str]) -> None:
    """A time in another zone decides like the same moment in UTC."""
    small["packs/aa.yaml"] = small["packs/aa.yaml"].replace("2020-01-01", "2026-11-22")
    policies = policies_from(small)
    moment = datetime(2026, 11, 22, 1, 0, tzinfo=timezone(timedelta(hours=3)))
    assert ask(policies, "orders", request={"time": moment}).reason is Reason.UNKNOWN_JURISDICTION
    assert ask(policies, "orders", request={"time": moment + timedelta(hours=3)}).reason is Reason.CONTRACT


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ("DE", True),
        ("de", True),
        ("DE-BY", True),
        ("de_by", True),
        (" fr ", True),
        ("D", False),
        ("DEU", False),
        ("", False),
    ],
)
def test_places_are_normalised_and_fall_back_to_their_country(policies: Policies, code: str, known: bool) -> None:
    """A subdivision that no pack names is under its country's pack; anything else is unknown."""
    assert (ask(policies, "orders", jurisdiction=code).reason is Reason.CONTRACT) is known


def test_the_united_kingdom_is_gb(small: dict[str, str]) -> None:
    """`UK` and `UK-SCT` are read as `GB`."""
    small["packs/aa.yaml"] = small["packs/aa.yaml"].replace("[DE, FR]", "[GB]").replace("FR: 15", "GB: 13")
    policies = policies_from(small)
    assert ask(policies, "orders", jurisdiction="uk").reason is Reason.CONTRACT
    assert ask(policies, "orders", jurisdiction="UK-SCT").reason is Reason.CONTRACT


def test_named_ages_are_the_place_s_own(policies: Policies) -> None:
    """Fifteen is old enough in France, where the threshold is 15, and not in Germany, where it is 16."""
    fifteen = {"choice": {"status": GRANTED}, "minor_born": date(2011, 11, 22)}
    assert ask(policies, jurisdiction="FR", **fifteen).is_open
    assert not ask(policies, jurisdiction="DE", **fifteen).is_open
    assert not ask(policies, jurisdiction="FR", choice={"status": GRANTED}, minor_born=date(2011, 11, 23)).is_open


def test_the_most_closed_effect_wins_and_carries_its_transform(small: dict[str, str]) -> None:
    """Of two grounds the more closed one speaks; a shape tightens it further but keeps the ground's reason."""
    rules = with_rules(
        small,
        "id: aa.hidden, kind: legitimate_interest, purposes: [email_marketing], effect: mask",
    )
    verdict = ask(policies_from(rules), choice={"status": GRANTED})
    assert told(verdict) == ("mask", "legitimate_interest", "aa.hidden")
    assert verdict.obligations == (Obligation("mask", (("style", "email"),)),)
    rules = with_rules(rules, "id: aa.shape, kind: shape, categories: [user.contact], effect: pseudonymise")
    shaped = ask(policies_from(rules), choice={"status": GRANTED})
    assert told(shaped) == ("pseudonymise", "legitimate_interest", "aa.shape")
    assert shaped.obligations == (Obligation("pseudonym.value"),)
    weaker = "id: aa.weaker, kind: shape, effect: generalise"
    assert ask(policies_from(with_rules(rules, weaker)), choice={"status": GRANTED}) == shaped
    masked = "id: aa.hidden, kind: legitimate_interest, purposes: [email_marketing], effect: mask"
    assert ask(policies_from(with_rules(small, masked, weaker)), choice={"status": GRANTED}) == verdict


def test_a_field_may_name_its_own_transform(small: dict[str, str]) -> None:
    """The catalogue's transform for an effect goes before the transforms file."""
    policies = policies_from(with_rules(small, "id: aa.shape, kind: shape, effect: mask"))
    verdict = ask(policies, field="visits", choice={"status": GRANTED})
    assert verdict.obligations == (Obligation("constant", (("value", "x"),)),)


def test_an_effect_without_transform_is_withheld(small: dict[str, str]) -> None:
    """Where nothing can carry out an effect, the field is withheld as an unknown obligation."""
    policies = policies_from(with_rules(small, "id: aa.shape, kind: shape, effect: generalise"))
    expected = ("withhold", "unknown_obligation", "gateway.unknown-obligation")
    assert told(ask(policies, choice={"status": GRANTED})) == expected


def test_a_relabel_names_a_reason_and_never_opens(small: dict[str, str]) -> None:
    """A relabel speaks where another ground opens with the same effect, and is silent everywhere else."""
    relabel = "id: aa.again, kind: relabel, purposes: all, when: [limited], reason: financial_incentive_conflict"
    policies = policies_from(with_rules(small, relabel))
    assert ask(policies, limited=True, choice={"status": GRANTED}).rule == "aa.again"
    assert ask(policies, choice={"status": GRANTED}).rule == "aa.email"
    assert ask(policies, limited=True).rule == "gateway.no-consent"
    masked = policies_from(with_rules(small, f"{relabel}, effect: mask"))
    assert told(ask(masked, limited=True, choice={"status": GRANTED})) == ("allow", "consent", "aa.email")


def test_one_rule_may_close_and_name_the_reason_of_what_is_open(small: dict[str, str]) -> None:
    """A minor's own opt-in is the same rule and reason whether it is missing or given; only the effect differs."""
    policies = policies_from(
        with_rules(small, "id: aa.teen, kind: minor_opt_in, purposes: [orders], ages: {from: 13, below: 16}")
    )
    teen = {"minor_born": date(2012, 1, 1)}
    assert told(ask(policies, "orders", **teen)) == ("withhold", "minor_opt_in", "aa.teen")
    assert told(ask(policies, "orders", choice={"status": GRANTED}, **teen)) == ("allow", "minor_opt_in", "aa.teen")
    assert told(ask(policies, "orders", **teen)) == ("withhold", "minor_opt_in", "aa.teen")


def test_bars_give_the_reason_of_the_earliest_stage(small: dict[str, str]) -> None:
    """Of all bars that speak, the stage decides whose reason is given, then the rule's id."""
    policies = policies_from(
        with_rules(
            small,
            "id: aa.z, kind: bar, when: [gpc], stage: objection, reason: gpc",
            "id: aa.y, kind: bar, when: [gpc], stage: objection, reason: opted_out",
            "id: aa.x, kind: bar, when: [gpc, member], stage: erasure, reason: erased",
        )
    )
    assert ask(policies, gpc=True).rule == "aa.y"
    assert ask(policies, gpc=True, member=True).rule == "aa.x"
    assert ask(policies, gpc=True, member=True, restricted=True).rule == "floor.restricted"
    assert ask(policies, request={"gpc": True}).rule == "aa.y"


def test_rules_and_packs_hold_on_their_own_days(small: dict[str, str]) -> None:
    """`effective_from` is the first day of a rule or pack and `effective_to` the first day without it."""
    rule = "id: aa.gpc, kind: bar, when: [gpc], stage: objection, reason: gpc"
    dated = with_rules(small, f"{rule}, effective_from: 2026-11-22, effective_to: 2026-11-24")
    policies = policies_from(dated)

    def reason(day: int) -> Reason:
        moment = datetime(2026, 11, day, 12, 0, tzinfo=UTC)
        return ask(policies, "orders", gpc=True, request={"time": moment}).reason

    assert [reason(day) for day in (21, 22, 23, 24)] == [Reason.CONTRACT, Reason.GPC, Reason.GPC, Reason.CONTRACT]
    early = datetime(2019, 12, 31, 12, 0, tzinfo=UTC)
    assert ask(policies, "orders", request={"time": early}).reason is Reason.UNKNOWN_JURISDICTION


SECOND = """\
pack: bb
title: A part of the first land
version: "3"
effective_from: 2026-06-01
jurisdictions: [DE-BY]
extends: aa
replaces: [aa.email]
rules:
  - {id: bb.email, kind: opt_out_model, purposes: [email_marketing], reason: notice_opt_out, source: art. 9}
"""


def test_a_pack_extends_another_and_replaces_some_of_it(small: dict[str, str]) -> None:
    """An extending pack holds the other's rules, months and ages but those it replaces, from its own day on."""
    small["packs/bb.yaml"] = SECOND
    policies = policies_from(small)
    assert told(ask(policies, jurisdiction="DE-BY")) == ("allow", "notice_opt_out", "bb.email")
    assert told(ask(policies, "orders", jurisdiction="DE-BY")) == ("allow", "contract", "aa.orders")
    child = {"minor_born": date(2012, 1, 1), "choice": {"status": GRANTED}}
    assert ask(policies, jurisdiction="DE-BY", **child).rule == "aa.child"
    before = datetime(2026, 5, 31, 12, 0, tzinfo=UTC)
    assert ask(policies, jurisdiction="DE-BY", request={"time": before}).rule == "gateway.no-consent"
    old = {"status": GRANTED, "given_at": NOON - timedelta(days=900)}
    assert ask(policies, "care", "visits", jurisdiction="DE-BY", choice=old).reason is Reason.EXPIRED


def test_a_notice_that_no_longer_holds_ends_a_grant(small: dict[str, str]) -> None:
    """A grant to a version that is not accepted is a mismatch, and so is one that names no version."""
    small["notices/mail.yaml"] = (
        "{notice: mail, kind: choice, purposes: [email_marketing], earlier: [{version: '1', meaning: 1}], versions: "
        "[{version: '2', meaning: 2, effective_from: 2020-01-01, texts: {de: {title: t, what: w, off: o, kept: k}}}]}"
    )
    policies = policies_from(small)
    reasons = [
        ask(policies, choice={"status": GRANTED, "notice_version": version}).reason for version in ("1", "2", None)
    ]
    assert reasons == [Reason.NOTICE_VERSION_MISMATCH, Reason.CONSENT, Reason.NOTICE_VERSION_MISMATCH]


def test_a_category_is_decided_like_a_field_of_it(policies: Policies) -> None:
    """`decide_category` denies in the same order and follows the same rules."""
    day = NOON.date()

    def reason(place: str, purpose: str, category: str) -> Reason:
        return decide_category(policies.rulebook, place, purpose, category, STATUS_BITS["granted"], day).reason

    assert reason("IT", "nonsense", "nonsense") is Reason.UNKNOWN_PURPOSE
    assert reason("IT", EMAIL, "nonsense") is Reason.UNKNOWN_CATEGORY
    assert reason("IT", EMAIL, "user.health") is Reason.UNKNOWN_JURISDICTION
    assert reason("DE", EMAIL, "user.health.blood") is Reason.SPECIAL_CATEGORY
    assert reason("DE", EMAIL, "user.contact") is Reason.CATEGORY_NOT_DECLARED_FOR_PURPOSE
    assert reason("DE", EMAIL, "user.contact.email") is Reason.CONSENT
    withheld = decide_category(policies.rulebook, "DE", EMAIL, "user.behavior", BIT["restricted"], day)
    assert withheld.effect is Effect.WITHHOLD


def test_the_memory_is_bounded_and_changes_nothing(policies: Policies, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for a single answer every decision is the same as with much."""
    situations = [{"choice": {"status": GRANTED}}, {}, {"restricted": True}, {"gpc": True}]
    before = [ask(policies, **given) for given in situations]
    monkeypatch.setattr("consent_gateway.policy.rulebook.MEMORY", 1)
    forgetful = policies_from(policies.sources)
    assert [ask(forgetful, **given) for given in situations * 3] == before * 3
