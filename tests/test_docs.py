"""The documentation says what the code does: pages generated from it, commands, links and examples that stand."""

import json
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import pytest
import yaml

from consent_gateway.cli import cli
from consent_gateway.policy import load_policies
from consent_gateway.policy.catalogue import FieldMetaSchema
from consent_gateway.policy.checks import check_policies
from consent_gateway.policy.ir import Stage
from consent_gateway.policy.schemas import KINDS as RULE_KINDS
from consent_gateway.policy.schemas import PurposeSchema
from consent_gateway.rights.deadline_cases import faults_of, read_deadline_cases
from consent_gateway.rights.regimes import Laws
from consent_gateway.settings import PREFIX, VARIABLES
from consent_gateway.vocabulary import ChoiceStatus, Effect, EventKind, Reason
from consent_gateway.web.app import OPERATIONS
from consent_gateway.web.bodies import checked, parse_json
from consent_gateway.web.operations import Operation
from consent_gateway.web.problems import KINDS as PROBLEM_KINDS
from docs import words
from docs.generate import PAGES, REFERENCE, every_command

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SERVICE = DOCS / "how-to" / "call-from-a-service.md"
PROSE = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
WRITTEN = [page for page in PROSE if page.parent != REFERENCE or page.name not in PAGES]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CURL = re.compile(r"127\.0\.0\.1:8080(/[^\s\"'?]*).*?-d\s+'(\{.*?\})'", re.DOTALL)
_CALL = re.compile(r"`(POST|PATCH) (/[^`\s]+)`")


def name_of(page: Path) -> str:
    """A page's path below the root, to name a test by."""
    return str(page.relative_to(ROOT))


def fences(page: Path, language: str) -> list[str]:
    """The page's code blocks in that language."""
    return [text for kind, text in _FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_what_the_generator_makes_now(name: str) -> None:
    """Each generated page equals what `make docs` would write."""
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


@pytest.mark.parametrize(
    ("page", "known"),
    [
        ("settings.md", [PREFIX + variable.name for variable in VARIABLES]),
        ("errors.md", [f"## {kind.code}" for kind in PROBLEM_KINDS]),
        ("commands.md", [f"## {' '.join(path[1:])}\n" for path, _ in every_command()]),
        ("api.md", [f"## {op.method} {op.path}\n" for op in OPERATIONS]),
        ("policy.md", [f"| `{word.value}` |" for closed in (Reason, EventKind, ChoiceStatus) for word in closed]),
    ],
)
def test_every_word_of_the_code_is_documented(page: str, known: list[str]) -> None:
    """No setting, error code, command, endpoint, reason, kind of event or status is missing from its page."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    assert not [word for word in known if word not in text]


def test_no_meaning_outlives_its_word() -> None:
    """The sentences that explain closed words explain exactly the words there are."""
    assert set(words.REASONS) == {one.value for one in Reason}
    assert set(words.EVENTS) == {one.value for one in EventKind}
    assert set(words.STATUSES) == {one.value for one in ChoiceStatus}
    assert set(words.EFFECTS) == {one.word for one in Effect}
    assert set(words.STAGES) == {one.word for one in Stage}
    assert set(words.KINDS) == set(RULE_KINDS)
    assert set(words.PURPOSE_MEMBERS) == set(PurposeSchema().fields)
    assert set(words.FIELD_MEMBERS) == set(FieldMetaSchema().fields)


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PROSE, ids=name_of)
def test_every_relative_link_resolves(page: Path) -> None:
    """Every link to a file of the project leads to one, and every anchor to a heading."""
    broken = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def command_lines(page: Path) -> Iterator[str]:
    """Every quoted call of the program, in blocks and in running text."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(block for _, block in _FENCE.findall(text)).replace("\\\n", " ")
    yield from (line.strip() for line in re.findall(r"consent-gateway +[a-z][^\n`]*", blocks))
    yield from re.findall(r"`(consent-gateway +[a-z][^`]*)`", _FENCE.sub("", text))


def parse(line: str) -> None:
    """Read a command line as click would; raises `click.UsageError` for what does not exist."""
    given = shlex.split(re.split(r"\s(?:[|>]|&&|#)\s?", line)[0])[1:]
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        name = given.pop(0)
        inner = command.get_command(context, name)
        if inner is None:
            raise click.UsageError(f"no command {name}")
        command = inner
        context = click.Context(command)
    values, left, _ = command.make_parser(context).parse_args(given)
    if left:
        raise click.UsageError(f"too many arguments: {left}")
    for parameter in command.params:
        value = values.get(parameter.name)
        if isinstance(parameter.type, click.Choice) and isinstance(value, str | list):
            for one in [value] if isinstance(value, str) else value:
                parameter.type.convert(one, parameter, context)
        if parameter.required and not isinstance(value, str | list | tuple):
            raise click.UsageError(f"{parameter.name} is missing")


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_every_quoted_command_exists(page: Path) -> None:
    """Every `consent-gateway …` line in the documentation is a command with these options and arguments."""
    wrong = []
    for line in command_lines(page):
        try:
            parse(line)
        except (click.UsageError, ValueError) as error:
            wrong.append(f"{line}: {error}")
    assert not wrong


def test_a_command_line_that_does_not_exist_is_found() -> None:
    """The check of command lines refuses an unknown command, an unknown option and a missing one."""
    for line in (
        "consent-gateway policy prove",
        "consent-gateway audit export out --sinse 2026-01-01",
        "consent-gateway clients add till --channel till",
        "consent-gateway clients add t --channel till --purpose p --scope customers:eat",
    ):
        with pytest.raises(click.UsageError):
            parse(line)


def operation_for(method: str, path: str) -> Operation:
    """The operation that a documented call reaches; the last declared path that fits, literal ones first."""
    fitting = [
        op for op in OPERATIONS if op.method == method and re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", op.path), path)
    ]
    assert fitting, f"no operation {method} {path}"
    return min(fitting, key=lambda op: op.path.count("{"))


def refuse_unless_valid(method: str, path: str, body: str) -> None:
    """Raise `InputRefused` where the call would not take this body."""
    schema = operation_for(method, path).body
    assert schema is not None
    checked(schema(), parse_json(body.encode()))


def bodies_of_service_page() -> list[tuple[str, str, str]]:
    """Method, path and text of each JSON body, which belongs to the call named last before it."""
    text = SERVICE.read_text(encoding="utf-8")
    found = []
    for block in re.finditer(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        method, path = _CALL.findall(text[: block.start()])[-1]
        found.append((method, path, block[1]))
    return found


@pytest.mark.parametrize(("method", "path", "body"), bodies_of_service_page())
def test_documented_bodies_are_taken(method: str, path: str, body: str) -> None:
    """Each JSON body of the service how-to stands against the schema of the call it is shown for."""
    refuse_unless_valid(method, path, body)


def curl_bodies() -> Iterable[tuple[str, str]]:
    """Path and body of every curl line in the documentation."""
    for page in WRITTEN:
        for _, block in _FENCE.findall(page.read_text(encoding="utf-8")):
            for call in block.split("curl ")[1:]:
                yield from _CURL.findall(call)


def test_bodies_of_curl_lines_are_taken() -> None:
    """Each body that a documented curl line sends stands against the schema of its call."""
    found = list(curl_bodies())
    assert len(found) >= 5
    for path, body in found:
        refuse_unless_valid("POST", path, body)


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_code_blocks_can_be_read(page: Path) -> None:
    """Every Python block compiles, every YAML and JSON block parses."""
    for block in fences(page, "python"):
        compile(block, name_of(page), "exec")
    for block in fences(page, "yaml"):
        yaml.safe_load(block)
    for block in fences(page, "json"):
        json.loads(block)


def test_the_example_catalogue_stands(tmp_path: Path) -> None:
    """The two-table catalogue of the how-to loads with the shipped policy."""
    policies = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", policies)
    blocks = fences(DOCS / "how-to" / "own-database.md", "yaml")
    (policies / "catalogue.yaml").write_text("".join(blocks), encoding="utf-8")
    kept = (policies / "retention.yaml").read_text(encoding="utf-8")
    without = re.sub(r"(?ms)^schedules:.*?(?=^terms:)", "", kept)  # as the page's command leaves it
    (policies / "retention.yaml").write_text(without, encoding="utf-8")
    loaded = load_policies(policies)
    assert [one for one in check_policies(loaded) if "key class" in one.what] == []
    catalogue = loaded.catalogue
    assert catalogue.root.name == "person"
    assert "purchases.card_last4" in catalogue.fields


def test_the_example_policy_stands(tmp_path: Path) -> None:
    """The purpose, house rule, recipient and pack of the how-to load; its worked deadline holds."""
    policies = tmp_path / "policies"
    shutil.copytree(ROOT / "policies", policies)
    answers, purpose, _, rule, _, clocks, deadlines, recipient, pack, steps, remedy, authority = fences(
        DOCS / "how-to" / "write-a-policy.md", "yaml"
    )
    additions = {"purposes": purpose, "packs/house": rule, "recipients": recipient, "letters": remedy}
    additions |= {"access": authority, "controller": answers.removeprefix("controllers:\n")}
    for name, addition in additions.items():
        with (policies / f"{name}.yaml").open("a", encoding="utf-8") as file:
            file.write(addition)
    (policies / "packs" / "nz.yaml").write_text(f"{pack}{steps}{clocks.replace('EU_GDPR', 'NZ_ACT')}", encoding="utf-8")
    loaded = load_policies(policies)
    assert loaded.documents.packs["nz"].steps.double_opt_in[0].places == ("DE",)
    assert {"birthday_greeting"} <= set(loaded.purposes)
    assert {"survey_tool"} <= set(loaded.recipients)
    assert [one.contacts[0].name for one in loaded.documents.controllers][-1] == "Example Ltd"
    (policies / "deadlines.yaml").write_text(deadlines, encoding="utf-8")
    laws = Laws(loaded.documents.packs)
    assert "NZ_ACT" in laws.regimes
    assert [faults_of(laws, case) for case in read_deadline_cases([policies / "deadlines.yaml"])] == [[]]


GUIDES = [page for page in WRITTEN if page.parent.name in ("tutorial", "how-to")]


@pytest.mark.parametrize("page", GUIDES, ids=name_of)
def test_guides_keep_to_the_line_length(page: Path) -> None:
    """Tutorial and how-tos have lines of up to 120 characters, but for tables, which cannot be broken."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if len(line) > 120 and not line.startswith("|")]


def test_every_test_that_a_page_names_exists() -> None:
    """What an explanation says is tested is: each `test_…` it names is a function of some test file."""
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    written = set(re.findall(r"^def (test_\w+)", tests, re.MULTILINE))
    for page in (DOCS / "explanation").glob("*.md"):
        named = set(re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8")))
        assert named <= written, (page.name, sorted(named - written))
