"""Writes the five generated reference pages from the code; `python -m docs.generate`, or `make docs`.

A page says what the code declares and nothing else, so it cannot fall behind: `tests/test_docs.py` compares.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from consent_gateway import __version__
from consent_gateway.audit.entry import EntryKind
from consent_gateway.cli import cli
from consent_gateway.consent.choices import ADMINISTRATIVE
from consent_gateway.policy.case_files import CONTEXT, STATES
from consent_gateway.policy.catalogue import FieldMetaSchema
from consent_gateway.policy.controllers import ContactSchema, ControllersSchema
from consent_gateway.policy.facts import FACTS
from consent_gateway.policy.ir import REASON_RANK, Stage
from consent_gateway.policy.schemas import KINDS as RULE_KINDS
from consent_gateway.policy.schemas import PurposeSchema
from consent_gateway.protection.registry import REGISTRY, Parameter
from consent_gateway.settings import PREFIX, VARIABLES
from consent_gateway.vocabulary import OPENING, PERSON_WIDE, SEARCH_MODES, ChoiceStatus, Effect, EventKind, Reason
from consent_gateway.web import openapi
from consent_gateway.web.app import FOR_AGENTS, OPERATIONS
from consent_gateway.web.problems import KINDS as PROBLEM_KINDS
from docs import words

REFERENCE = Path(__file__).resolve().parent / "reference"
_NOTE = "<!-- Written by `make docs` from the code. Change the code, not this page. -->"
_ISSUER = "http://127.0.0.1:8080"
_SCHEMA = "#/components/schemas/"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"
    yield ""


def _page(title: str, *parts: Iterable[str]) -> str:
    lines = [_NOTE, f"# {title}", "", *(line for part in parts for line in part)]
    return "\n".join(lines).rstrip() + "\n"


def _code(words_: Iterable[object]) -> str:
    return ", ".join(f"`{word}`" for word in words_)


def settings_page() -> str:
    """Every environment variable."""
    intro = (
        f"The gateway reads these variables of the environment. Each name begins with `{PREFIX}`. A number outside its",
        "bounds, a misspelt name or an unsafe combination ends the start with `settings_refused` and the mend.",
        "",
        "Any of them may be given as a file: `CONSENT_GATEWAY_STORE_URL_FILE=/run/secrets/store-url` reads the value",
        "from that file. Setting both forms is refused. Do so for those marked secret: a URL holds a password.",
        "",
    )
    rows = [(f"`{PREFIX}{v.name}`", v.default, v.meaning, "yes" if v.secret else "") for v in VARIABLES]
    return _page("Settings", intro, _table(("Variable", "Default", "Sets", "Secret"), rows))


def errors_page() -> str:
    """Every problem document."""
    intro = (
        "An error is answered as `application/problem+json` (RFC 9457). `code` is stable; `detail` is for people and",
        "may change; `request_id` also stands in the gateway's own log. `errors` and `refused` name parts of the",
        "request. A 503 and a 429 carry `Retry-After` in seconds. No error ever repeats a value that was sent.",
        "",
        "The token endpoint answers errors in the form of RFC 6749 instead: `error` and `error_description`.",
        "",
    )
    sections = (line for kind in PROBLEM_KINDS for line in _problem(kind.code, kind.status, kind))
    return _page("Errors", intro, sections)


def _problem(code: str, status: int, kind: Any) -> tuple[str, ...]:
    return (f"## {code}", "", f"**{status}** {kind.title}.", "", kind.cause, "", f"*What to do:* {kind.remedy}", "")


def commands_page() -> str:
    """Every command with its arguments and options."""
    intro = (
        "Commands read the [settings](settings.md) from the environment. `policy` and `demo` need none;",
        "`audit` needs them only where the database or the key is not named by an option.",
        "",
        "Exit codes: 0 done; 1 what was asked about is not so (a case failed, the log does not verify); 2 wrong usage;",
        "3 refused or unavailable, with the cause and its mend on standard error.",
        "",
    )
    return _page("Commands", intro, (line for path, command in every_command() for line in _command(path, command)))


def every_command(
    group: click.Group | None = None, path: tuple[str, ...] = ("consent-gateway",)
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that call it; hidden ones are left out."""
    context = click.Context(group or cli)
    inside = group or cli
    for name in inside.list_commands(context):
        command = inside.get_command(context, name)
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))
        elif command is not None and not command.hidden:
            yield (*path, name), command


def _command(path: tuple[str, ...], command: click.Command) -> Iterator[str]:
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    options = [one for one in command.params if isinstance(one, click.Option)]
    told = [_argument(one) for one in arguments]
    yield from (
        f"## {' '.join(path[1:])}",
        "",
        f"`{' '.join([*path, *told, *(['[OPTIONS]'] if options else [])])}`",
        "",
    )
    yield from ((command.help or "").strip(), "")
    rows = [(_flags(option), _takes(option), _default(option), option.help or "") for option in options]
    if rows:
        yield from _table(("Option", "Takes", "Default", "Meaning"), rows)


def _argument(argument: click.Argument) -> str:
    name = argument.make_metavar(click.Context(cli)).strip("[].")
    name = f"{name}…" if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def _flags(option: click.Option) -> str:
    return _code([*option.opts, *option.secondary_opts]) + (" (required)" if option.required else "")


def _takes(option: click.Option) -> str:
    if option.is_flag:
        return "nothing"
    if isinstance(option.type, click.Choice):
        return _code(option.type.choices)
    bounds = option.type
    if isinstance(bounds, click.IntRange):
        return f"{bounds.min} to {bounds.max}"
    return (option.metavar or option.type.name) + (", repeatable" if option.multiple else "")


def _default(option: click.Option) -> str:
    plain = isinstance(option.default, str | int | Path) and not option.is_flag and option.show_default is not False
    return f"`{option.default}`" if plain else ""


def api_page() -> str:
    """Every endpoint and every schema, from the OpenAPI document."""
    described = openapi.document((*OPERATIONS, *FOR_AGENTS), version=__version__, issuer=_ISSUER)
    intro = (
        "The same as `/openapi.json` and `/docs` of a running gateway, in short. JSON bodies are UTF-8 and strict: an",
        "unknown member, a member twice, NaN or a number that would lose digits is refused.",
        "",
    )
    calls = [(path, method, call) for path, item in described["paths"].items() for method, call in item.items()]
    overview = [(f"`{m.upper()} {p}`", _scope(c), c["summary"]) for p, m, c in calls]
    endpoints = (line for path, method, call in calls for line in _endpoint(path, method, call))
    schemas = described["components"]["schemas"]
    shapes = (line for name, shape in sorted(schemas.items()) for line in _shape(name, shape))
    return _page("API", intro, _table(("Call", "Scope", "Does"), overview), endpoints, ("# Schemas", ""), shapes)


def _scope(call: Mapping[str, Any]) -> str:
    scopes = [scope for way in call["security"] for scope in way.get("oauth2", ())]
    if any("agent" in way for way in call["security"]):
        return "an authorised agent's token"
    roles = [role for way in call["security"] if "officer" in way for role in way["officer"] or ("any",)]
    if roles:
        return (f"{_code(scopes)}, or " if scopes else "") + f"officer, role {_code(roles)}"
    return _code(scopes) if scopes else "none"


def _endpoint(path: str, method: str, call: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## {method.upper()} {path}", "", f"{call['summary']}. Scope: {_scope(call)}.", "")
    if "description" in call:
        yield from (call["description"], "")
    for kind, media in call.get("requestBody", {}).get("content", {}).items():
        yield from (f"Body: {_told_type(media['schema'])} as `{kind}`.", "")
    parameters = [
        (f"`{one['name']}`", one["in"], "yes" if one.get("required") else "", _bounds({**one["schema"], **one}))
        for one in call.get("parameters", ())
    ]
    if parameters:
        yield from _table(("Parameter", "In", "Required", "Meaning"), parameters)
    yield from _table(("Answer", "Meaning"), [_answer(status, one) for status, one in call["responses"].items()])


def _answer(status: str, answer: Mapping[str, Any]) -> tuple[str, str]:
    told = [_told_type(media["schema"]) for media in answer["content"].values() if "schema" in media]
    return status, f"{answer['description']} → {', '.join(told)}" if told else answer["description"]


def _told_type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMA)
        return f"[{name}](#{name.lower()})"
    inner = schema.get("items") or schema.get("additionalProperties")
    kind = schema.get("type", "any")
    kind = " or ".join(kind) if isinstance(kind, list) else kind
    return f"{kind} of {_told_type(inner)}" if isinstance(inner, dict) and inner else kind


def _shape(name: str, shape: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## {name}", "")
    if "description" in shape:
        yield from (shape["description"], "")
    required = shape.get("required", ())
    rows = [
        (f"`{member}`", _told_type(one), "yes" if member in required else "", _bounds(one))
        for member, one in shape.get("properties", {}).items()
    ]
    if rows:
        yield from _table(("Member", "Type", "Required", "Bounds and meaning"), rows)


def _bounds(schema: Mapping[str, Any]) -> str:
    told = [schema["description"].rstrip(".")] if "description" in schema else []
    if "enum" in schema:
        told.append(f"one of {_code(schema['enum'])}")
    for key, label in (
        ("minimum", "from"),
        ("maximum", "to"),
        ("minLength", "length from"),
        ("maxLength", "length to"),
    ):
        if key in schema:
            told.append(f"{label} {schema[key]}")
    for key, label in (
        ("minItems", "items from"),
        ("maxItems", "items to"),
        ("pattern", "form"),
        ("default", "default"),
    ):
        if key in schema:
            told.append(f"{label} `{schema[key]}`")
    return "; ".join(told)


def policy_page() -> str:
    """Every word of the policy language."""
    intro = (
        "The closed lists of words that policy files, answers and the audit log use. How they work together:",
        "[write a policy](../how-to/write-a-policy.md); what carries an effect out: [transforms](transforms.md).",
        "",
    )
    return _page(
        "Policy words",
        intro,
        _effects_and_kinds(),
        _members(),
        _facts(),
        _reasons(),
        _events(),
        _transforms(),
        _searches(),
        _cases(),
    )


def _meanings(title: str, head: str, known: Iterable[str], told: Mapping[str, str]) -> Iterator[str]:
    yield from (f"## {title}", "")
    yield from _table((head, "Meaning"), [(f"`{word}`", told[word]) for word in known])


def _effects_and_kinds() -> Iterator[str]:
    yield from _meanings("Effects, from open to closed", "Effect", (one.word for one in Effect), words.EFFECTS)
    yield from _meanings("Kinds of rule", "Kind", RULE_KINDS, words.KINDS)
    yield from _meanings("Stages of bars, in order of precedence", "Stage", (one.word for one in Stage), words.STAGES)


def _members() -> Iterator[str]:
    yield from _meanings("Members of a purpose", "Member", PurposeSchema().fields, words.PURPOSE_MEMBERS)
    yield from _meanings("What stands under `meta` of a field", "Member", FieldMetaSchema().fields, words.FIELD_MEMBERS)
    members = (*ControllersSchema().fields, *ContactSchema().fields, "place")
    yield from _meanings("Members of an entry of `controller.yaml`", "Member", members, words.CONTROLLER_MEMBERS)


def _facts() -> Iterator[str]:
    yield from ("## Facts", "")
    yield "A rule names them in `when`, each optionally with `not `; all must hold. An opening fact may open, a"
    yield "restricting one may only close, which `policy check` proves; a neutral one only tells situations apart."
    yield ""
    yield from _table(
        ("Fact", "Polarity", "Group", "Meaning"),
        [(f"`{one.name}`", one.polarity.value, one.group.value, one.meaning) for one in FACTS],
    )


def _reasons() -> Iterator[str]:
    yield from (
        "## Reasons",
        "",
        "Of several grounds with the same effect the reason that stands first here is given.",
        "",
    )
    opening = [*sorted((one for one in Reason if one in REASON_RANK), key=REASON_RANK.__getitem__)]
    yield from _table(
        ("Reason that opens", "Meaning"), [(f"`{one.value}`", words.REASONS[one.value]) for one in opening]
    )
    closing = [one for one in Reason if one not in REASON_RANK]
    yield from _table(
        ("Reason that closes", "Meaning"), [(f"`{one.value}`", words.REASONS[one.value]) for one in closing]
    )


def _events() -> Iterator[str]:
    yield from ("## Kinds of consent event", "")
    rows = [(f"`{one.value}`", _concerns(one), _does(one), words.EVENTS[one.value]) for one in EventKind]
    yield from _table(("Kind", "Concerns", "Does", "Meaning"), rows)
    yield from _meanings("Status of a choice", "Status", (one.value for one in ChoiceStatus), words.STATUSES)
    yield from ("## Kinds of audit entry", "", f"{_code(one.value for one in EntryKind)}.", "")


def _concerns(kind: EventKind) -> str:
    return "the person" if kind in PERSON_WIDE else "one purpose"


def _does(kind: EventKind) -> str:
    does = "may open; needs evidence" if kind in OPENING else "restricts or tells"
    return f"{does}; scope `consents:administer`" if kind in ADMINISTRATIVE else does


def _transforms() -> Iterator[str]:
    yield from ("## Transforms", "", "Described with examples in [transforms](transforms.md).", "")
    rows = [
        (f"`{one.name}`", one.meaning, "; ".join(_parameter(name, given) for name, given in one.parameters.items()))
        for one in REGISTRY.values()
    ]
    yield from _table(("Transform", "Does", "Parameters"), rows)


def _searches() -> Iterator[str]:
    yield from (
        "## Modes of search",
        "",
        "A field with an identity may ask for them: `meta: {search: [last4]}`. What each tells stands in",
        "[search](../how-to/search.md#what-each-mode-tells).",
        "",
    )
    kinds = {word: sorted(kind for kind, modes in SEARCH_MODES.items() if word in modes) for word in words.SEARCHES}
    rows = [(f"`{word}`", _code(kinds[word]), meaning) for word, meaning in words.SEARCHES.items()]
    yield from _table(("Mode", "Identity", "Searches by"), rows)


def _parameter(name: str, given: Parameter) -> str:
    takes = _code(given.words) if given.words else "text" if given.least is None else f"{given.least} to {given.most}"
    return f"`{name}`: {takes}" + ("" if given.default is None else f" (default `{given.default}`)")


def _cases() -> Iterator[str]:
    yield from ("## Words of case files", "")
    yield from (f"`state`, joined in time order with `+`: {_code(sorted(STATES))}.", "")
    yield from (f"`context`: {_code(sorted(CONTEXT))}.", "")


PAGES: Mapping[str, Callable[[], str]] = MappingProxyType(
    {
        "settings.md": settings_page,
        "errors.md": errors_page,
        "commands.md": commands_page,
        "api.md": api_page,
        "policy.md": policy_page,
    }
)
"""The generated pages, by file name below docs/reference."""


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make(), encoding="utf-8")
        click.echo(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
