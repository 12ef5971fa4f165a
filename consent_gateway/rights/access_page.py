"""Renders an access document as one page to read and to print, in the person's words; pure, adds no fact.

The page loads nothing and runs nothing: whoever keeps the file can read it in years.
"""

import html
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Protocol

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "h1{line-height:1.2}h2{margin-top:2.5rem}.lead{font-size:1.1rem}.small{font-size:.85rem;opacity:.8}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}"
    "th,td{border:1px solid #999;padding:.35rem .6rem;text-align:start;vertical-align:top;overflow-wrap:break-word}"
    "thead th{background:#8882}td p{margin:0}"
    "@media print{@page{size:A4;margin:15mm}body{font-size:10pt;margin:0;max-width:none;padding:0}"
    "h2{break-after:avoid}tr{break-inside:avoid}.scroll{overflow:visible}}"
)
_EVERYTHING = "*"
_LAST = ("rights", "complaint", "automated_decisions")
_TOLD_GROUNDS = frozenset(
    {
        "consent", "explicit_consent", "parental_consent", "minor_opt_in", "contract", "legal_obligation",
        "legitimate_interest", "soft_opt_in", "opt_out_model", "notice_opt_out",
    }
)  # fmt: skip
"""Grounds that have words of their own; the others are told as the law of the place."""


class Says(Protocol):
    """The words of one language; `preferences.words.Words` are."""

    @property
    def language(self) -> str:
        """Its tag."""
        ...

    @property
    def direction(self) -> str:
        """`ltr` or `rtl`."""
        ...

    def __call__(self, path: str, **values: str) -> str:
        """The word at a path."""
        ...

    def kinds(self, categories: Collection[str]) -> tuple[str, ...]:
        """What categories are called."""
        ...

    def purpose(self, key: str) -> str:
        """What a purpose is called."""
        ...

    def channel(self, key: str) -> str:
        """What a channel is called."""
        ...

    def place(self, country: str) -> str:
        """What a country is called."""
        ...

    def day(self, moment: datetime) -> str:
        """A day."""
        ...

    def period(self, text: str) -> str:
        """A period after ISO 8601, as in `P3Y`."""
        ...

    def written(self, text: str) -> str:
        """A moment after RFC 3339."""
        ...


def page(document: Mapping[str, Any], says: Says, company: str) -> str:
    """The report. What the document holds and the page leaves out, rules and versions, stands in `data.json`."""
    title = _text(says("report.title", company=company))
    parts = [
        f'<!doctype html><html lang="{says.language}" dir="{says.direction}"><head><meta charset="utf-8">',
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>',
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>",
        f'<p class="lead">{_text(document["introduction"])}</p>',
        f"<p>{_text(says('report.made', day=says.day(datetime.fromisoformat(document['made_at']))))}</p>",
        f"<h2>{_text(says('report.held'))}</h2>",
        *(_kinds_held(document, says) if "kinds" in document else _everything(document, says)),
        *_responsible(document, says),
        f"<h2>{_text(says('report.rights'))}</h2>",
        *(f"<p>{_text(document[key])}</p>" for key in _LAST if key in document),
    ]
    return "".join([*parts, "</main></body></html>"])


def _responsible(document: Mapping[str, Any], says: Says) -> Iterator[str]:
    """Who answers for the data, where the policy names anybody."""
    rows = [
        (
            _text(says(f"responsible.{one['who']}", place=says.place(one["place"] or ""))),
            _text(one["name"]),
            _text(one["address"]),
            "".join(f"<p><bdi>{_text(one[way])}</bdi></p>" for way in ("email", "phone") if one[way]),
        )
        for one in document.get("responsible", ())
    ]
    if rows:
        yield from _section(says, "responsible.title", ("role", "name", "address", "contact"), rows)


def _everything(document: Mapping[str, Any], says: Says) -> Iterator[str]:
    yield from _tables(document, says)
    yield from _section(says, "report.used", ("purpose", "why", "kinds"), _purposes(document, says))
    yield from _section(says, "report.receive", ("name", "role", "place", "last"), _recipients(document, says))
    yield from _section(says, "report.chose", ("when", "what", "purpose", "where"), _choices(document, says))
    yield from _section(says, "report.looked", ("when", "who", "purpose", "data"), _accesses(document, says))


def _kinds_held(document: Mapping[str, Any], says: Says) -> Iterator[str]:
    """Kinds of data without a value, for a request to know."""
    yield from _table(says, ("kind", "purpose", "from", "receive", "kept"), _kinds(document, says))
    yield from _section(says, "report.receive", ("name", "role", "place", "last"), _recipients(document, says))


def _kinds(document: Mapping[str, Any], says: Says) -> Iterator[tuple[str, ...]]:
    for one in document["kinds"]:
        yield (
            _text(", ".join(says.kinds([one["category"]]))),
            _paragraphs(says.purpose(key) for key in one["purposes"]),
            _paragraphs(one["sources"]),
            _paragraphs(one["recipients"]),
            _paragraphs(says.period(each) for each in one["periods"]),
        )


def shown(value: Mapping[str, Any]) -> str:
    """A value as text."""
    inner = value["value"]
    return inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)


def _tables(document: Mapping[str, Any], says: Says) -> Iterator[str]:
    """What is held, a table for each table of the store."""
    tables: dict[str, list[Mapping[str, Any]]] = {}
    for one in document["fields"]:
        tables.setdefault(one["field"].rpartition(".")[0], []).append(one)
    for table, fields in tables.items():
        yield f"<h3>{_text(says('report.own'))}</h3>" if not table else f"<h3><bdi>{_text(table)}</bdi></h3>"
        yield from _table(says, ("kind", "value", "kept", "from"), (_field(one, says) for one in fields))


def _field(one: Mapping[str, Any], says: Says) -> tuple[str, ...]:
    kinds = ", ".join(says.kinds([each["category"] for each in one["categories"]]))
    name = one["field"].rpartition(".")[2]
    values = "".join(f"<p><bdi>{_text(_told(each, says))}</bdi></p>" for each in one["values"])
    sources = "".join(f"<p>{_text(each)}</p>" for each in dict.fromkeys(each["source"] for each in one["sources"]))
    return f'<p>{_text(kinds)}</p><p class="small"><bdi>{_text(name)}</bdi></p>', values, _kept(one, says), sources


def _told(value: Mapping[str, Any], says: Says) -> str:
    if "not_told" in value:
        return str(value["because"] or says(f"report.{value['not_told']}"))
    return shown(value)


def _kept(one: Mapping[str, Any], says: Says) -> str:
    until = one["kept"]["until"]
    if until is not None:
        return _text(says("report.until", day=says.day(datetime.combine(date.fromisoformat(until), time(), UTC))))
    periods = dict.fromkeys(says.period(str(each["period"])) for each in one["kept"]["criteria"])
    return "".join(f"<p>{_text(each)}</p>" for each in periods)


def _purposes(document: Mapping[str, Any], says: Says) -> Iterator[tuple[str, ...]]:
    fields = {one["field"]: one for one in document["fields"]}
    for one in document["purposes"]:
        used = [fields[name] for name in one["fields"]]
        grounds = {use["basis"] for field in used for use in field["uses"] if use["purpose"] == one["purpose"]}
        told = sorted({says(f"grounds.{ground if ground in _TOLD_GROUNDS else 'other'}") for ground in grounds})
        kinds = says.kinds({each["category"] for field in used for each in field["categories"]})
        yield _text(says.purpose(one["purpose"])), _paragraphs(told), _text(", ".join(kinds))


def _recipients(document: Mapping[str, Any], says: Says) -> Iterator[tuple[str, ...]]:
    for one in document["recipients"]:
        last, safeguard = one["last_received_at"], one["safeguard"]
        place = says.place(one["country"]) + (f" ({safeguard})" if safeguard else "")
        when = says.written(last) if last else says("report.never")
        yield _text(one["name"]), _text(says(f"roles.{one['role']}")), _text(place), _text(when)


def _choices(document: Mapping[str, Any], says: Says) -> Iterator[tuple[str, ...]]:
    for one in document["choices"]:
        about = says("history.everything") if one["purpose"] == _EVERYTHING else says.purpose(one["purpose"])
        what = says(f"kinds.{one['event']}")
        yield _text(says.written(one["occurred_at"])), _text(what), _text(about), _text(says.channel(one["channel"]))


def _accesses(document: Mapping[str, Any], says: Says) -> Iterator[tuple[str, ...]]:
    for one in document["accesses"]:
        who = " → ".join(str(each) for each in (one["who"], one["recipient"]) if each)
        about = "" if one["purpose"] is None else says.purpose(one["purpose"])
        yield _text(says.written(one["at"])), f"<bdi>{_text(who)}</bdi>", _text(about), _text(", ".join(one["fields"]))


def _section(says: Says, title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"<h2>{_text(says(title))}</h2>"
    yield from _table(says, head, rows)


def _table(says: Says, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    if not body:
        yield f"<p>{_text(says('report.nothing'))}</p>"
        return
    columns = "".join(f'<th scope="col">{_text(says(f"report.{name}"))}</th>' for name in head)
    yield f'<div class="scroll"><table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>'


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f"<p>{_text(each)}</p>" for each in texts)


def _text(value: object) -> str:
    return html.escape(str(value))
