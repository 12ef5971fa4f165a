"""What every transform of the list promises, whatever the value: its JSON type, its length, its place in the papers."""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consent_gateway.protection import dates
from consent_gateway.protection.declarations import Condition, Dropped, Given, Needs, Parameter, Transform
from consent_gateway.protection.material import NamedKey, PersonKeys
from consent_gateway.protection.registry import REGISTRY
from consent_gateway.protection.scrub import Scrubber

PAPERS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "transforms.md"
NAMES = [
    "pseudonym.subject",
    "pseudonym.value",
    "token.det",
    "token.rand",
    "fpe.digits",
    "fpe.alnum",
    "mask",
    "generalise.age_band",
    "generalise.zip3",
    "generalise.geo",
    "generalise.amount",
    "generalise.time",
    "ip.truncate",
    "date.shift",
    "email.alias",
    "text.scrub",
    "drop",
    "constant",
    "aggregate.k",
]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
NEAR = st.sampled_from(
    [
        "1980-02-03",
        "2026-11-22T09:30:00Z",
        "94107",
        "203.0.113.7",
        "+49 170 1234567",
        "4111 1111 1111 1111",
        "12.50",
        46,
    ]
)
JSON = (
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
    | NEAR
    | st.lists(st.integers(0, 90), max_size=5)
)


@pytest.fixture(scope="module")
def gathered() -> Given:
    """Everything that any transform may need, over fixed keys."""
    key = NamedKey("aaaa", bytes(range(32)))
    person = PersonKeys("acme", "ds_a", "bbbb", bytes(32), bytes(range(32, 64)))
    day = date(2026, 11, 22)
    return Given("acme", "analytics", "ad_partner", day, key, key, person.seed, person, Scrubber().scrub)


def run(name: str, value: Any, gathered: Given, **chosen: Any) -> Any:
    """One transform with its defaults and what is chosen over them."""
    defaults = {word: "x" if one.default is None else one.default for word, one in REGISTRY[name].parameters.items()}
    return REGISTRY[name].apply(value, "field", gathered, {**defaults, **chosen})


def test_the_list_is_closed() -> None:
    """There are these transforms and no others: a policy may name them, and none is ever renamed."""
    assert sorted(REGISTRY) == sorted(NAMES)


def json_type(value: Any) -> str:
    """The JSON type of a value, whole and other numbers being one."""
    return {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}[type(value)]


@given(JSON, st.sampled_from(NAMES))
def test_the_json_type_stays_or_is_declared(gathered: Given, value: Any, name: str) -> None:
    """A result is null or of the value's JSON type; where the list says otherwise, null or text."""
    result = run(name, value, gathered)
    if isinstance(result, Dropped):
        assert name == "drop"
    elif name != "constant" and value is None:
        assert result is None
    elif result is not None:
        assert json_type(result) == (json_type(value) if REGISTRY[name].keeps_type else "string")


@given(st.sampled_from(["token.det", "token.rand"]), JSON, JSON, st.sampled_from([16, 64, 256]))
def test_values_of_one_length_class_have_tokens_of_one_length(
    gathered: Given, name: str, one: Any, other: Any, pad: int
) -> None:
    """Two values shorter than the pad have tokens of one length; a longer one shows how many pads it fills."""
    from consent_gateway.protection.values import encoded

    assume(one is not None and other is not None)
    classes = [len(encoded(value)) // pad for value in (one, other)]
    lengths = [len(run(name, value, gathered, pad=pad)) for value in (one, other)]
    assert (lengths[0] == lengths[1]) is (classes[0] == classes[1])


@given(
    st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    st.dates(date(1900, 1, 1), date(2100, 1, 1)),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
)
def test_a_shift_keeps_the_intervals_of_a_person(one: date, other: date, seed: bytes, key: bytes) -> None:
    """All dates of a person move by the same 1 to 30 days, and the time of day stays as it was written."""
    days = dates.shift_of_person(seed, key, "acme")
    assert 1 <= abs(days) <= 30
    moved = [date.fromisoformat(str(dates.date_shift(day.isoformat(), days))) for day in (one, other)]
    assert moved[0] - moved[1] == one - other
    assert moved[0] - one == timedelta(days=days)
    stamped = dates.date_shift(f"{one.isoformat()}T23:59:59.5+02:00", days)
    assert stamped == f"{moved[0].isoformat()}T23:59:59.5+02:00"


def test_every_shift_occurs_about_as_often() -> None:
    """Over 6,000 people each of the 60 shifts occurs, none more than twice as often as it should."""
    counts: dict[int, int] = {}
    for number in range(6000):
        days = dates.shift_of_person(number.to_bytes(32, "big"), bytes(32), "acme")
        counts[days] = counts.get(days, 0) + 1
    assert sorted(counts) == [*range(-30, 0), *range(1, 31)]
    assert 40 < min(counts.values()) <= max(counts.values()) < 200


@pytest.mark.parametrize("value", ["0001-01-05", "9999-12-28", "20261122", "2026-W47-7", "2026-11", "22.11.2026", 5])
def test_a_date_that_cannot_be_moved_becomes_null(value: Any) -> None:
    """Dates in another notation, and those that would leave the calendar, are not guessed at."""
    assert None in {dates.date_shift(value, 30), dates.date_shift(value, -30)}


def rows() -> dict[str, list[str]]:
    """The cells of the table of all transforms in the documentation, by the transform's name."""
    section = PAPERS.read_text(encoding="utf-8").split("## All of them")[1].split("\n## ")[0]
    table = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("| `")
    ]
    return {cells[0].strip("`"): cells for cells in table}


def told(name: str, parameter: Parameter) -> str:
    """A parameter as the table says it."""
    if parameter.words:
        takes = ", ".join(parameter.words)
    else:
        takes = "text" if parameter.least is None else f"{parameter.least}–{parameter.most}"
    return f"`{name}`: {takes}" + ("; required" if parameter.default is None else f" ({parameter.default})")


def claim(transform: Transform) -> str:
    """A transform's claim of unlinkability as the table says it."""
    words = {
        Condition.DISTINCT: "distinct values",
        Condition.ONE_LENGTH: "one length",
        Condition.ONE_SHAPE: "one shape",
    }
    if transform.unlinkable is None:
        return "no"
    return "yes" if not transform.unlinkable else "if " + ", ".join(words[one] for one in transform.unlinkable)


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_say_what_the_list_says(name: str) -> None:
    """Each transform's parameters, JSON type, reversal and claim stand in its row of the documentation."""
    transform, cells = REGISTRY[name], rows()[name]
    assert cells[1] == "; ".join(told(*one) for one in transform.parameters.items())
    assert cells[3] == ("same" if transform.keeps_type else "text")
    assert cells[4] == transform.reversal.value
    assert cells[5] == claim(transform)


def test_the_papers_name_no_other() -> None:
    """The table has a row for each transform and for nothing else, and what each still tells follows it."""
    assert sorted(rows()) == sorted(NAMES)
    section = PAPERS.read_text(encoding="utf-8").split("## What each still tells")[1].split("\n## ")[0]
    assert sorted(re.findall(r"^\| `([a-z._0-9]+)`", section, re.MULTILINE)) == sorted(NAMES)


def test_what_needs_a_key_says_so(gathered: Given) -> None:
    """A transform run without what it declares to need is refused; one that declares nothing runs on nothing."""
    from consent_gateway.errors import ProtectionRefused

    bare = Given("acme", "analytics", "ad_partner", date(2026, 11, 22))
    for name, transform in REGISTRY.items():
        if transform.needs is Needs.NOTHING:
            run(name, "x", bare)
        else:
            with pytest.raises(ProtectionRefused, match="without its"):
                run(name, "2026-11-22", bare)
