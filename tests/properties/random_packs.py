"""Makes packs of random rules of every kind, so that the properties see more of the language than our laws use."""

import random
import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import yaml

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import policies_from
from consent_gateway.policy.facts import BIT
from consent_gateway.policy.schemas import KINDS

BETWEEN = ("generalise", "mask", "pseudonymise")
OPEN_REASONS = ("consent", "contract", "pecr_statistics_exception", "minor_opt_in", "casl_implied", "notice_opt_out")
CLOSED_REASONS = ("sale_banned", "minor_prohibited", "gpc", "opted_out", "restriction")
STAGES = ("restriction", "erasure", "prohibition", "transfer", "objection", "refusal")
BARS = ("parent", "minor_opt_in", "prohibited", "bar", "transfer")
DEFAULTS = ("contract", "legitimate_interest", "consent", "explicit_consent", "implied", "off_by_default", "ground")


def random_rule(draw: random.Random, name: str, words: Mapping[str, list[str]]) -> dict[str, Any]:
    """One rule that is well-formed but for contradictions among its facts."""
    kind = draw.choice(KINDS)
    rule: dict[str, Any] = {"id": name, "kind": kind, "source": "drawn at random"}
    rule["purposes"] = draw.choice(["all", draw.sample(words["purposes"], 6), ["group:choice"], ["group:measurement"]])
    if draw.random() < 0.3:
        rule["except_purposes"] = draw.sample(words["purposes"], 2)
    if draw.random() < 0.4:
        rule["categories"] = draw.choice(["sensitive", draw.sample(words["categories"], 9), ["user.behavior"]])
    if draw.random() < 0.2:
        rule["except_categories"] = draw.sample(words["categories"], 3)
    bars_everything = kind in BARS and kind != "transfer"
    rule["when"] = [
        draw.choice(["", "not "]) + fact
        for fact in draw.sample(sorted(BIT), draw.randrange(1 if bars_everything else 0, 3))
    ]
    if kind in ("parent", "minor_opt_in") or draw.random() < 0.2:
        rule["ages"] = draw.choice(
            [{"below": 13}, {"from": 13, "below": 16}, {"below": "teen"}, {"from": 12, "below": 18}]
        )
    if draw.random() < 0.15:
        rule["roles"] = draw.sample(["controller", "processor", "third_party"], draw.randrange(1, 3))
    if draw.random() < 0.08:
        start = date(2026, 11, 22) + timedelta(days=draw.randrange(-400, 400))
        rule["effective_from"] = start
        rule["effective_to"] = start + timedelta(days=draw.randrange(1, 600))
    return rule | _outcome(draw, kind)


def _outcome(draw: random.Random, kind: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if kind == "shape" or (kind not in BARS and draw.random() < 0.4):
        told["effect"] = draw.choice(BETWEEN)
    if kind in ("prohibited", "bar"):
        told["reason"] = draw.choice(CLOSED_REASONS)
    if kind in ("ground", "relabel"):
        told["reason"] = draw.choice(OPEN_REASONS)
    if kind == "opt_out_model" and draw.random() < 0.5:
        told["reason"] = "notice_opt_out"
    if kind == "bar" or (kind in BARS and draw.random() < 0.3):
        told["stage"] = draw.choice(STAGES)
    if kind in DEFAULTS and draw.random() < 0.5:
        told["default_reason"] = draw.choice(["purpose_mismatch", "not_a_member", "off_by_default"])
    return told


def random_packs(seed: int, sources: Mapping[str, str], rules: int = 60) -> dict[str, str]:
    """Texts of two packs, `zz` and one that extends it, with rules that fit the given policy's words."""
    draw = random.Random(seed)
    words = {
        "purposes": [one["key"] for one in yaml.safe_load(sources["purposes.yaml"])["purposes"]],
        "categories": sorted(yaml.safe_load(sources["categories.yaml"])["categories"]),
    }
    first = [random_rule(draw, f"zz.r{number}", words) for number in range(rules)]
    second = [random_rule(draw, f"zy.r{number}", words) for number in range(rules // 3)]
    head = {"title": "Random", "version": "1", "sensitive": draw.sample(words["categories"], 12)}
    ages = {"teen": {"default": 15, "ZZ": 17, "ZZ-A": 14}}
    packs: dict[str, dict[str, Any]] = {
        "packs/zz.yaml": {"pack": "zz", "jurisdictions": ["ZZ", "ZZ-A"], **head, "ages": ages, "rules": first},
        "packs/zy.yaml": {
            "pack": "zy",
            "jurisdictions": ["ZY"],
            **head,
            "ages": {"teen": 16},
            "extends": "zz",
            "replaces": [rule["id"] for rule in draw.sample(first, rules // 6)],
            "consent_months": 12,
            "implied_months": 6,
            "rules": second,
        },
    }
    return _without_contradictions(packs, sources)


def _without_contradictions(packs: dict[str, dict[str, Any]], sources: Mapping[str, str]) -> dict[str, str]:
    while True:
        texts = {path: yaml.safe_dump(pack) for path, pack in packs.items()}
        try:
            policies_from({**sources, **texts})
        except PolicyInvalid as error:
            refused = {name for told in error.findings for name in re.findall(r"`(z[zy]\.r\d+)`", told)}
            if not refused:
                raise
            for pack in packs.values():
                pack["rules"] = [rule for rule in pack["rules"] if rule["id"] not in refused]
                pack["replaces"] = [name for name in pack.get("replaces", []) if name not in refused]
        else:
            return texts
