"""Claims about reading policy files: what is wrong is told with its line and its mend."""

from datetime import date
from pathlib import Path

import pytest

from consent_gateway.errors import PolicyInvalid
from consent_gateway.policy import load_policies, policies_from
from consent_gateway.policy.controllers import controllers_on
from consent_gateway.policy.expand import EXPANSIONS
from consent_gateway.policy.legal_clocks import Period, Unit
from consent_gateway.policy.source import parse
from tests.unit.policy.conftest import SMALL, with_rules, write

RULE = "  - {id: aa.email, kind: consent, purposes: [email_marketing], source: art. 2}"
PLANTED = [
    # path, text as it stands, text planted instead, line of the finding, what it says, its mend
    (
        "packs/aa.yaml",
        RULE,
        RULE.replace("purposes", "purpose"),
        10,
        "unknown key `purpose`",
        "did you mean `purposes`",
    ),
    ("packs/aa.yaml", "kind: consent", "kind: consnt", 10, "unknown kind `consnt`", "did you mean `consent`"),
    (
        "packs/aa.yaml",
        "[email_marketing]",
        "[email_marketng]",
        10,
        "unknown purpose `email_marketng`",
        "email_marketing",
    ),
    ("packs/aa.yaml", "group:choice", "group:choices", 12, "unknown group `group:choices`", "`group:choice`"),
    ("packs/aa.yaml", ", source: art. 2", "", 10, "`source` is missing", "add `source`"),
    ("packs/aa.yaml", "source: art. 2", "when: [grantd], source: a", 10, "unknown fact `grantd`", "`granted`"),
    ("packs/aa.yaml", "source: art. 2", "when: [granted, not granted], source: a", 10, "its absence", "remove one"),
    ("packs/aa.yaml", "source: art. 2", "categories: [user.contct], source: a", 10, "`user.contct`", "`user.contact`"),
    (
        "packs/aa.yaml",
        "source: art. 2",
        "categories: sensitive, source: a",
        10,
        "no sensitive categories",
        "`sensitive:",
    ),
    ("packs/aa.yaml", "source: art. 2", "effect: withhold, source: a", 10, "cannot withhold", "kind `bar`"),
    ("packs/aa.yaml", "source: art. 2", "effect: hide, source: a", 10, "unknown effect `hide`", "`mask`"),
    ("packs/aa.yaml", "source: art. 2", "reason: contract, source: a", 10, "has its own reason", "remove `reason`"),
    ("packs/aa.yaml", "source: art. 2", "stage: refusal, source: a", 10, "has no stage", "remove `stage`"),
    (
        "packs/aa.yaml",
        "reason: below_digital_age",
        "reason: below_age",
        12,
        "unknown reason `below_age`",
        "below_digital",
    ),
    ("packs/aa.yaml", "below: digital", "below: digitl", 12, "unknown age `digitl`", "did you mean `digital`"),
    ("packs/aa.yaml", "below: digital", "below: 25", 12, "no facts tell ages", "use 12 to 18"),
    ("packs/aa.yaml", "default: 16", "default: 30", 1, "the age `digital` is 30", "use 12 to 18"),
    ("packs/aa.yaml", "aa.email", "aa.orders", 10, "the rule id `aa.orders` stands in `packs/aa.yaml` line 9", "own"),
    ("packs/aa.yaml", "aa.email", "bb.email", 10, "does not begin with its pack's", "write `aa.email`"),
    ("packs/aa.yaml", "consent_months: 24", "extends: bb", 1, "unknown pack to extend `bb`", "remove it"),
    ("packs/aa.yaml", "consent_months: 24", "extends: aa", 1, "unknown pack to extend `aa`", "remove it"),
    ("packs/aa.yaml", "consent_months: 24", "replaces: [aa.email]", 1, "no extended pack holds it", "remove it"),
    ("packs/aa.yaml", "consent_months: 24", "consent_months: 0", 7, "`0` is not a number of months", "above 0"),
    ("packs/aa.yaml", "[DE, FR]", "[DE, NO]", 5, "a bare `NO` for a truth value", "put it in quotes"),
    ("packs/aa.yaml", "[DE, FR]", "[Germany]", 1, "`Germany` is not an ISO 3166 code", "write `DE`"),
    ("packs/aa.yaml", "[DE, FR]", "[UK]", 1, "`UK` is not an ISO 3166 code", "write `GB`"),
    ("packs/aa.yaml", 'version: "7"', "version: 7.1", 3, "`7.1` is not text", "put it in quotes"),
    ("packs/aa.yaml", "2020-01-01", '"2020"', 4, "`2020` is not a day", "2026-01-31"),
    ("packs/floor.yaml", "pack: floor", "pack: aa", 1, "the pack `aa` stands in `packs/aa.yaml`", "rename one"),
    ("packs/aa.yaml", "title: First land", "title: First land\npack: aa", 3, "the key `pack` stands twice", "keep one"),
    ("packs/aa.yaml", "rules:\n", "rules: [\n", 9, "this is not YAML", "mend the indentation"),
    ("packs/aa.yaml", "kind: consent", "kind: ground, reason: gpc", 10, "`gpc` is a reason for closing", "use one of"),
    (
        "packs/aa.yaml",
        "kind: parent",
        "kind: parent, default_reason: gpc",
        12,
        "has no default",
        "remove `default_reason`",
    ),
    ("packs/aa.yaml", "kind: consent", "kind: shape", 10, "needs an effect between allow and withhold", "add `effect"),
    (
        "packs/aa.yaml",
        "kind: transfer",
        "kind: transfer, effect: mask",
        13,
        "kind `transfer` withholds",
        "kind `shape`",
    ),
    ("packs/aa.yaml", "ages: {below: digital}, ", "", 12, "kind `parent` needs ages", "add `ages: {below: 16}`"),
    (
        "packs/aa.yaml",
        "source: art. 2",
        "effective_from: 2026-01-02, effective_to: 2026-01-01, source: a",
        10,
        "it ends before it begins",
        "mend `effective_from`",
    ),
    ("packs/aa.yaml", "[email_marketing]", "5", 10, "this must be a word or a list of words", "write `[one, two]`"),
    ("packs/aa.yaml", "[email_marketing]", "[care, care]", 10, "a word stands twice", "keep one"),
    ("packs/aa.yaml", "below: digital", "below: [1]", 12, "`[1]` is not an age", "write years"),
    ("packs/aa.yaml", "{digital: {default: 16, FR: 15}}", "5", 6, "`ages` must map names to ages", "write `digital"),
    ("packs/aa.yaml", "{default: 16, FR: 15}", "{FR: 15}", 6, "the age `digital` needs whole years", "add `default"),
    ("packs/aa.yaml", "2020-01-01", "2020-13-45", 4, "`2020-13-45` cannot be read", "number or date"),
    ("channels.yaml", SMALL["channels.yaml"], "- 5\n", 1, "this is not a mapping", "write `key: value`"),
    ("channels.yaml", SMALL["channels.yaml"], "", 1, "the file is empty", "write the document"),
    ("packs/floor.yaml", "stage: restriction, ", "", 7, "kind `bar` needs a stage", "add `stage`"),
    ("packs/floor.yaml", "reason: restriction, ", "", 7, "kind `bar` needs a reason", "add `reason`"),
    ("packs/floor.yaml", "everywhere", "[everywhere, DE]", 1, "holds everywhere and names places", "everywhere` alone"),
    (
        "packs/floor.yaml",
        "jurisdictions: everywhere",
        "jurisdictions: [FR]",
        1,
        "`FR` is under `aa`",
        "name the place in one",
    ),
    ("purposes.yaml", "[user.contact, user.unique_id]", "[user.contacts]", 2, "unknown category", "`user.contact`"),
    ("purposes.yaml", "key: care", "key: orders", 16, "`orders` stands twice", "rename or remove"),
    ("categories.yaml", "special: true", "special: maybe", 7, "not a valid boolean", "format of this file"),
    ("categories.yaml", "special: true", "specal: true", 7, "unknown key `specal`", "did you mean `special`"),
    ("channels.yaml", "[existing_customer]", "[existing]", 4, "unknown condition `existing`", "`existing_customer`"),
    ("recipients.yaml", "role: processor", "role: helper", 2, "unknown role `helper`", "use one of"),
    ("recipients.yaml", "[email_marketing]", "[emails]", 2, "unknown purpose `emails`", "email_marketing"),
    ("transforms.yaml", "[user.contact.email]", "[user.contact]", 4, "has a transform for mask in line 3", "keep one"),
    ("transforms.yaml", "effect: pseudonymise", "effect: withhold", 2, "unknown effect `withhold`", "use one of"),
    ("catalogue.yaml", "[user.health]", "[user.helth]", 11, "unknown category `user.helth`", "`user.health`"),
    ("catalogue.yaml", "meta: {transforms", "meta: {transfroms", 17, "unknown key `transfroms`", "`transforms`"),
]


@pytest.mark.parametrize(("path", "old", "new", "line", "what", "mend"), PLANTED)
def test_a_planted_error_is_told_with_file_line_and_mend(
    small: dict[str, str], path: str, old: str, new: str, line: int, what: str, mend: str
) -> None:
    """Each kind of error keeps the policy from loading and is told as `file:line: what; mend`."""
    assert old in small[path]
    small[path] = small[path].replace(old, new, 1)
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(small)
    fitting = [one for one in refused.value.findings if one.startswith(f"{path}:{line}: ") and what in one]
    assert fitting, refused.value.findings
    assert mend in fitting[0].partition("; ")[2], fitting


def test_the_small_policy_stands(small: dict[str, str]) -> None:
    """The policy into which the errors are planted has none itself."""
    policies = policies_from(small)
    assert len(policies.documents.rules()) == 8
    assert policies.channels["shop"].conditions == {"existing_customer"}
    assert policies.recipients["broker"].country == "US"
    assert policies.purposes["care"].groups == ("choice",)


def test_all_errors_are_told_at_once(small: dict[str, str]) -> None:
    """Two errors in two files give two findings, and the message says how many there are."""
    small["packs/aa.yaml"] = small["packs/aa.yaml"].replace("kind: consent", "kind: consnt")
    small["channels.yaml"] = small["channels.yaml"].replace("existing_customer", "existing")
    with pytest.raises(PolicyInvalid, match="2 findings") as refused:
        policies_from(small)
    assert len(refused.value.findings) == 2


OPENING = {
    "contract",
    "legal_obligation",
    "legitimate_interest",
    "consent",
    "explicit_consent",
    "sensitive_opt_in",
    "soft_opt_in",
    "implied",
    "opt_out_model",
    "off_by_default",
    "ground",
}
NEEDS = {
    "ground": "reason: contract",
    "relabel": "reason: contract",
    "prohibited": "reason: gpc",
    "bar": "reason: gpc, stage: objection",
    "parent": "ages: {below: 13}",
    "minor_opt_in": "ages: {from: 13, below: 16}",
    "shape": "effect: mask",
}


@pytest.mark.parametrize("kind", sorted(EXPANSIONS))
def test_what_holds_everywhere_opens_nothing(small: dict[str, str], kind: str) -> None:
    """A pack that holds everywhere may close, tighten and relabel; a kind that opens keeps the policy from loading."""
    rule = f"id: floor.planted, kind: {kind}, purposes: [care]"
    planted = with_rules(small, f"{rule}, {NEEDS[kind]}" if kind in NEEDS else rule, path="packs/floor.yaml")
    if kind not in OPENING:
        assert "floor.planted" in policies_from(planted).documents.rules()
        return
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(planted)
    what = f"packs/floor.yaml:16: rule `floor.planted`: kind `{kind}` opens something everywhere"
    assert refused.value.findings == (f"{what}; put it into the packs of the places",)


@pytest.mark.parametrize("name", ["catalogue", "categories", "purposes", "channels", "recipients", "transforms"])
def test_a_missing_file_is_a_finding(small: dict[str, str], name: str) -> None:
    """Without one of its files the policy does not load."""
    del small[f"{name}.yaml"]
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(small)
    assert f"{name}.yaml:1: the file is missing; write `{name}.yaml`" in refused.value.findings


def test_a_policy_without_packs_does_not_load(small: dict[str, str]) -> None:
    """An empty rule list is no policy."""
    for path in list(small):
        if path.startswith("packs/"):
            del small[path]
    with pytest.raises(PolicyInvalid, match="there is no pack"):
        policies_from(small)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    """A directory that is not there is named."""
    with pytest.raises(PolicyInvalid, match="there is no policy directory"):
        load_policies(tmp_path / "nowhere")


def test_a_circle_of_packs_is_refused(small: dict[str, str]) -> None:
    """Packs that extend each other are a finding, not an endless loop."""
    small["packs/aa.yaml"] = small["packs/aa.yaml"].replace("consent_months: 24", "extends: bb")
    small["packs/bb.yaml"] = 'pack: bb\ntitle: B\nversion: "1"\njurisdictions: [IT]\nextends: aa\nrules: []\n'
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(small)
    assert any("extends itself" in finding for finding in refused.value.findings)


def test_the_revision_is_of_what_is_said(small: dict[str, str], small_directory: Path) -> None:
    """Comments, layout and cases do not change the revision; a changed rule does."""
    before = load_policies(small_directory)
    assert len(before.revision) == 16
    write(small_directory, {"packs/aa.yaml": "# a comment\n" + small["packs/aa.yaml"], "cases/one.yaml": "[]"})
    assert load_policies(small_directory).revision == before.revision
    assert "cases/one.yaml" not in load_policies(small_directory).sources
    write(small_directory, {"packs/aa.yaml": small["packs/aa.yaml"].replace("art. 2", "art. 22")})
    assert load_policies(small_directory).revision != before.revision


def test_a_pack_carries_what_other_rooms_read(small: dict[str, str]) -> None:
    """Clocks, the signal duty and the waiting time before asking again are kept with the pack."""
    small["packs/aa.yaml"] = small["packs/aa.yaml"].replace(
        "consent_months: 24",
        "reask_months: 6\nsignal_duty: {required: true, since: 2021-01-01, source: s}\n"
        'clock_terms: {regime: AA_LAW, utc_offset: "+01:00"}\n'
        "clocks:\n  access: {respond: P1M, extension: P2M, source: s}",
    )
    pack = policies_from(small).documents.packs["aa"]
    assert pack.reask_months == 6
    assert pack.signal_duty is not None
    assert pack.signal_duty.required
    assert pack.clocks["access"].respond == Period(1, Unit.MONTHS)
    assert pack.clocks["access"].regime == "AA_LAW"


def test_booleans_are_true_and_false_alone() -> None:
    """`yes`, `NO` and `off` stay words, quoted or not, so that Norway is never read as false."""
    findings: list[object] = []
    document = parse("x.yaml", 'a: NO\nb: "no"\nc: off\nd: true\ne: 2026-01-31', findings)  # type: ignore[arg-type]
    assert [document.value[key] for key in "abcd"] == ["NO", "no", "off", True]
    assert len(findings) == 2
    assert document.line(("d",)) == 4


def test_anchors_are_refused() -> None:
    """An alias is a finding, since it hides what a file says."""
    findings: list[object] = []
    parse("x.yaml", "a: &one [1]\nb: *one\n", findings)  # type: ignore[arg-type]
    assert "anchor" in str(findings[0])


def test_the_rule_text_is_the_file_s_own(small: dict[str, str]) -> None:
    """A rule's text for readers ends where the next item or its comment begins."""
    small["packs/floor.yaml"] = (
        'pack: floor\ntitle: F\nversion: "1"\njurisdictions: everywhere\nrules:\n'
        "  - id: floor.one\n    kind: bar\n    when: [restricted]\n    stage: restriction\n    reason: restriction\n"
        "    source: art. 18\n\n  # the next one\n  - {id: floor.two, kind: transfer, source: art. 44}\n"
    )
    rulebook = policies_from(small).rulebook
    assert rulebook.rule("floor.one").text.splitlines()[0] == "- id: floor.one"
    assert rulebook.rule("floor.one").text.splitlines()[-1] == "  source: art. 18"
    assert rulebook.rule("floor.two").source == "art. 44"
    assert rulebook.rule("gateway.unknown-purpose").pack == "gateway"
    with pytest.raises(KeyError):
        rulebook.rule("floor.three")


CLOCKS = 'clock_terms: {regime: AA_LAW, utc_offset: "+01:00"}\nclocks:\n  access: {respond: P1M, source: s}\n'


@pytest.mark.parametrize(
    ("text", "planted", "told"),
    [
        ("access:", "acces:", "unknown right `acces`; did you mean `access`?"),
        ("P1M", "1 month", "`1 month` is not such a period; write `P1M` or `P45D` or `{business_days: 10}`"),
        ("P1M", "PT72H", "`PT72H` is not such a period"),
        ("respond: P1M, ", "", "the clock has no period; write one of `confirm`"),
        ("P1M", "P1M, extension: P45D", "`extension` must be counted as `respond` is"),
        ("P1M", "P1M, reask: true", "`reask` needs to know how long; add `reask_months` to the pack"),
        ("P1M", "P1M, pauses: sometimes", "Must be one of: never, until_answer, through_answer"),
        ('"+01:00"', "+1", "`1` is no offset from UTC"),
        (CLOCKS.splitlines()[0], "", "the clocks have no terms; add `clock_terms"),
    ],
)
def test_a_clock_that_cannot_stand_is_told(small: dict[str, str], text: str, planted: str, told: str) -> None:
    """Unknown rights, periods in words, missing times: each is a finding with its mend, and nothing loads."""
    clocks = CLOCKS.replace(text, planted)
    small["packs/aa.yaml"] = small["packs/aa.yaml"].replace("consent_months: 24\n", f"consent_months: 24\n{clocks}")
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(small)
    assert any(told.casefold() in finding.casefold() for finding in refused.value.findings), refused.value.findings


def test_two_packs_with_one_clock_on_the_same_days_are_told(small: dict[str, str]) -> None:
    """Which of two clocks of one law held could not be said."""
    small["packs/aa.yaml"] = small["packs/aa.yaml"].replace("consent_months: 24\n", f"consent_months: 24\n{CLOCKS}")
    other = small["packs/aa.yaml"].replace("pack: aa", "pack: zz").replace("id: aa.", "id: zz.")
    small["packs/zz.yaml"] = other.replace("[DE, FR]", "[AT]").replace(", FR: 15", "")
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(small)
    assert any("`access` of `AA_LAW` has a clock in `aa`" in finding for finding in refused.value.findings)


RIGHTS = """\
terms:
  - effective_from: 2026-11-01
    source: s
    channel: web
    prove_days: 45
    fresh_minutes: 15
    code_minutes: 15
    most_codes: 3
    most_attempts: 5
    most_attempts_a_day: 10
    points: [user.contact.email]
    proofs: [{rights: [access], ways: [code, points], points: 1, source: s}]
"""


@pytest.mark.parametrize(
    ("text", "planted", "told"),
    [
        ("web", "wed", "unknown channel `wed`"),
        ("[user.contact.email]", "[user.contact.mail]", "unknown category `user.contact.mail`"),
        ("[code, points]", "[none, code]", "these are no ways of proof"),
        ("[access]", "[acces]", "unknown right `acces`"),
        ("points: 1, ", "", "`points` is missing where points are a way"),
        ("prove_days: 45", "prove_days: 0", "write a whole number from 1 to 365"),
        ("[access]", "[access, access]", "the right `access` stands twice"),
    ],
)
def test_terms_of_requests_that_cannot_stand_are_told(
    small: dict[str, str], text: str, planted: str, told: str
) -> None:
    """What rights.yaml names must be known, and its numbers must be such."""
    channel = next(iter(policies_from(small).channels))
    stands = RIGHTS.replace("channel: web", f"channel: {channel}")
    small["rights.yaml"] = stands
    assert policies_from(small).documents.rights[0].most_attempts == 5
    small["rights.yaml"] = (RIGHTS if text == "web" else stands).replace(text, planted)
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(small)
    assert any(told.casefold() in finding.casefold() for finding in refused.value.findings), refused.value.findings


@pytest.mark.parametrize(
    ("text", "planted", "line", "told", "mend"),
    [
        (", email: privacy@small.example", "", 2, "`Small Ltd` can be reached by post alone", "add `email` or `phone`"),
        ("    no_officer: three people work here\n", "", 2, "no data protection officer is named", "no_officer"),
        ("no_officer: three", "officer: {name: D, address: A, phone: '1'}\n    no_officer: t", 2, "as well", "keep"),
        ("address: 1 High", "adress: 1 High", 4, "unknown key `adress`", "did you mean `address`"),
        ("2025-01-01", "'2025'", 2, "is not a day", "write it as 2026-01-31"),
        ("    source: art. 30\n", "", 2, "`source` is missing", "add `source`"),
        (
            "no_officer",
            "representatives: [{name: R, address: A, phone: '1'}]\n    no_officer",
            5,
            "`place` is missing",
            "add",
        ),
    ],
)
def test_who_answers_is_named_whole_or_told(
    small: dict[str, str], text: str, planted: str, line: int, told: str, mend: str
) -> None:
    """What is missing or doubtful in controller.yaml is a finding with its line and its mend."""
    assert text in small["controller.yaml"]
    small["controller.yaml"] = small["controller.yaml"].replace(text, planted)
    with pytest.raises(PolicyInvalid) as refused:
        policies_from(small)
    found = [one for one in refused.value.findings if told in one]
    assert found, refused.value.findings
    assert found[0].startswith(f"controller.yaml:{line}:")
    assert mend in found[0]


def test_who_answers_is_found_by_the_day(small: dict[str, str]) -> None:
    """Of several entries the last whose day has come is in force; before the first nobody is; two of a day are told."""
    entry = small["controller.yaml"].removeprefix("controllers:\n")
    later = entry.replace("2025-01-01", "2026-07-01").replace("Small Ltd", "Bigger Ltd")
    joint = "    joint: [{name: Other Ltd, address: Next door, phone: '+1'}]\n"
    small["controller.yaml"] += later + joint
    entries = policies_from(small).documents.controllers
    days = (date(2024, 12, 31), date(2025, 1, 1), date(2026, 6, 30), date(2026, 7, 1))
    found = [controllers_on(entries, day) for day in days]
    names = [None if one is None else [each.name for each in one.contacts] for one in found]
    assert names == [None, ["Small Ltd"], ["Small Ltd"], ["Bigger Ltd", "Other Ltd"]]
    small["controller.yaml"] += entry
    with pytest.raises(PolicyInvalid, match="two entries begin on 2025-01-01"):
        policies_from(small)
