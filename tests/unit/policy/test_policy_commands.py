"""Claims about the commands `policy check`, `policy test` and `policy explain`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from consent_gateway.cli.policy import policy
from consent_gateway.protection import scrub
from tests.unit.policy.conftest import write

CASE = "- {id: one, jurisdiction: DE, purpose: orders, category: user.contact, state: unknown, expect: {effect: %s}}\n"


def run(*words: object) -> Result:
    """Run one command."""
    return CliRunner().invoke(policy, [str(word) for word in words])


def test_check_says_that_a_policy_stands(small_directory: Path) -> None:
    """A sound policy ends with 0 and is counted, in words and in JSON."""
    spoken = run("check", small_directory)
    assert spoken.exit_code == 0
    assert "2 packs, 8 rules, 3 purposes, 5 fields" in spoken.output
    counted = json.loads(run("check", small_directory, "--json").output)
    assert counted["findings"] == []
    assert counted["rules"] == 8


def test_check_tells_findings_with_their_file(small: dict[str, str], small_directory: Path) -> None:
    """Faults of shape and faults that need proof both end with 1 and name the file below the directory."""
    for planted, line in (
        ("  - {id: aa.x, kind: contrct, source: a}\n", 14),
        ("  - {id: aa.x, kind: contract, purposes: [care], effective_to: 2019-01-01, source: a}\n", 14),
    ):
        write(small_directory, {"packs/aa.yaml": small["packs/aa.yaml"] + planted})
        told = run("check", small_directory)
        assert told.exit_code == 1
        assert f"{small_directory}/packs/aa.yaml:{line}: " in told.output
        assert "1 finding" in told.output
        assert len(json.loads(run("check", small_directory, "--json").output)["findings"]) == 1
    assert run("check", small_directory / "none").exit_code == 1


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        (
            "transforms.yaml",
            "transform: pseudonym.value",
            "transform: psuedonym.value",
            "2: `psuedonym.value` is not a",
        ),
        ("transforms.yaml", "style: email", "stlye: email", "4: `mask` has no parameter `stlye`; remove it"),
        ("catalogue.yaml", 'value: "x"', "value: 1, keep: 2", "15: `constant` has no parameter `keep`; remove it"),
    ],
)
def test_check_tells_what_no_transform_can_do(
    small: dict[str, str], small_directory: Path, name: str, old: str, new: str, told: str
) -> None:
    """A transform's name or parameter that the gateway could not carry out is found before any answer is refused."""
    assert old in small[name]
    write(small_directory, {name: small[name].replace(old, new)})
    found = run("check", small_directory)
    assert found.exit_code == 1
    assert f"{small_directory}/{name}:{told}" in found.output
    assert "1 finding" in found.output


@pytest.mark.parametrize(
    ("transform", "data_type", "told"),
    [
        ("fpe.digits", "date", "15: `fpe.digits` does not fit a field of data type `date`; it reads string;"),
        ("generalise.amount", "boolean", "15: `generalise.amount` does not fit a field of data type `boolean`;"),
        ("date.shift", "date", None),
        ("fpe.digits", "string", None),
        ("pseudonym.value", "integer", None),
        ("fpe.digits", "hstore", None),
    ],
)
def test_check_compares_a_transform_with_the_data_type(
    small: dict[str, str], small_directory: Path, transform: str, data_type: str, told: str | None
) -> None:
    """A field whose own transform makes nothing of its data type is found; a type that nobody knows is not judged."""
    typed = f"fides_meta: {{data_type: {data_type}}}, meta: {{transforms: {{mask: {transform}}}}}"
    row, own = "data_categories: [user.behavior]", 'transforms: {mask: {transform: constant, parameters: {value: "x"}}}'
    old = f"- name: visits\n            {row}\n            meta: {{{own}}}"
    assert old in small["catalogue.yaml"]
    new = f"- {{name: visits, {row}, {typed}}}"
    write(small_directory, {"catalogue.yaml": small["catalogue.yaml"].replace(old, new)})
    found = run("check", small_directory)
    assert found.exit_code == (told is not None)
    assert told is None or f"{small_directory}/catalogue.yaml:{told}" in found.output


def test_check_says_what_to_install(
    small: dict[str, str], small_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy that asks for `text.scrub` stands where the extra is installed, and elsewhere is told its name."""
    asked = small["transforms.yaml"].replace("pseudonym.value", "text.scrub")
    write(small_directory, {"transforms.yaml": asked})
    assert run("check", small_directory).exit_code == 0
    monkeypatch.setattr(scrub, "PACKAGE", "presidio_that_is_not_installed")
    found = run("check", small_directory)
    assert found.exit_code == 1
    assert "2: `text.scrub` needs the extra `scrub`; pip install 'consent-gateway[scrub]'" in found.output


def test_test_runs_cases_from_anywhere(small_directory: Path, tmp_path: Path) -> None:
    """Named case files need not reach every rule; a failing one is shown and ends with 1."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(CASE % "allow", encoding="utf-8")
    bad.write_text(CASE % "withhold", encoding="utf-8")
    passed = run("test", good, "--policies", small_directory, "--today", "2026-11-22")
    assert passed.exit_code == 0
    assert "1 of 1 cases pass; they reach 1 of 8 rules" in passed.output
    assert run("test", good, "--policies", small_directory, "--coverage").exit_code == 1
    failed = run("test", good, bad, "--policies", small_directory)
    assert failed.exit_code == 1
    assert f"{bad}:1: one" in failed.output
    assert "effect: expected withhold, got allow" in failed.output
    assert "decided by aa.orders" in failed.output
    report = json.loads(run("test", bad, "--policies", small_directory, "--json").output)
    assert report["failures"][0]["rule"] == "aa.orders"
    assert len(report["unreached"]) == 7


def test_the_policy_s_own_cases_must_reach_every_rule(small_directory: Path) -> None:
    """Without a path the policy's own cases run, and a rule that none reaches ends with 1, unless waived."""
    write(small_directory, {"cases/one.yaml": CASE % "allow"})
    told = run("test", "--policies", small_directory)
    assert told.exit_code == 1
    assert "no case reaches the rule aa.email" in told.output
    assert run("test", "--policies", small_directory, "--no-coverage").exit_code == 0
    write(small_directory, {"cases/one.yaml": "[]"})
    assert run("test", "--policies", small_directory, "--no-coverage").exit_code == 1


def test_what_cannot_be_read_is_told(small_directory: Path, tmp_path: Path) -> None:
    """A broken case file, policy or day is told and never passes."""
    broken = tmp_path / "broken.yaml"
    broken.write_text("- {id: one}\n", encoding="utf-8")
    assert "`purpose` is missing" in run("test", broken, "--policies", small_directory).output
    assert "findings" in json.loads(run("test", broken, "--policies", tmp_path / "none", "--json").output)
    assert run("test", broken, "--policies", small_directory, "--today", "soon").exit_code == 2


def explained(directory: Path, *words: str) -> Result:
    """Explain e-mail marketing to a person in Germany."""
    fixed = ("--policies", directory, "--jurisdiction", "DE", "--purpose", "email_marketing")
    return run("explain", *fixed, "--category", "user.contact.email", *words)


def test_explain_tells_rule_source_and_nearest_change(small_directory: Path) -> None:
    """Verdict, rule, source, text and what would flip it, in words and in JSON."""
    spoken = explained(small_directory, "--state", "granted", "--context", "age=15")
    assert spoken.exit_code == 0
    for words in ("withhold: below_digital_age", "aa.child (aa@7)", "source: d", "kind: parent", "with parental"):
        assert words in spoken.output
    told = json.loads(explained(small_directory, "--state", "granted", "--json").output)
    assert (told["effect"], told["rule"], told["source"]) == ("allow", "aa.email", "art. 2")
    assert told["nearest_change"]["effect"] == "withhold"
    hopeless = explained(small_directory, "--context", "restricted=true")
    assert "no single change would flip it" in hopeless.output


@pytest.mark.parametrize("context", ["age", "agge=3", "gpc=perhaps"])
def test_explain_refuses_a_context_it_does_not_know(small_directory: Path, context: str) -> None:
    """A context that is not KEY=VALUE of a known key is refused."""
    assert explained(small_directory, "--context", context).exit_code == 2


def test_explain_takes_the_day(small_directory: Path) -> None:
    """`as_of` decides on another day."""
    assert "unknown_jurisdiction" in explained(small_directory, "--context", "as_of=2019-01-01").output
    assert "no_consent" in explained(small_directory, "--today", "2026-01-01").output
