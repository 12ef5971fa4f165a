"""The JSON forms of driver values, and that what is read can be written again."""

import enum
import ipaddress
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.connectors.coercion import coerced
from consent_gateway.connectors.json_forms import NoJsonForm, former, to_json
from consent_gateway.errors import InputRefused

LONG_AGO = datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=timezone(timedelta(hours=2)))


class Tier(enum.Enum):
    """An enumerated type as a driver may return it."""

    GOLD = "gold"


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (1.5, 1.5),
        ("x", "x"),
        (Decimal("12.50"), "12.50"),
        (Decimal("1E+3"), "1000"),
        (date(1984, 2, 29), "1984-02-29"),
        (time(7, 30), "07:30:00"),
        (datetime(2026, 11, 22, 12, 0), "2026-11-22T12:00:00"),  # noqa: DTZ001 - a column without zone
        (datetime(2026, 11, 22, 12, 0, tzinfo=UTC), "2026-11-22T12:00:00Z"),
        (LONG_AGO, "2026-01-02T01:04:05.000600Z"),
        (timedelta(days=1, hours=1), "P1DT3600S"),
        (timedelta(seconds=-1.5), "-P0DT1.500000S"),
        (b"\x00\xff", "AP8="),
        (memoryview(b"\x00\xff"), "AP8="),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (ipaddress.ip_address("192.0.2.1"), "192.0.2.1"),
        (Tier.GOLD, "gold"),
        ([1, Decimal(2), [None]], [1, "2", [None]]),
        ({"a": {"b": date(2026, 1, 1)}}, {"a": {"b": "2026-01-01"}}),
    ],
)
def test_each_documented_type_has_its_form(value: object, form: object) -> None:
    """Every type of the module's table is answered in the form the table says."""
    assert to_json(value) == form
    assert type(to_json(value)) is type(form)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity"), {1: "x"}, {1, 2}, object(), [float("nan")]],
)
def test_what_has_no_form_is_refused(value: object) -> None:
    """A value that JSON cannot say raises and is never turned into something near it."""
    with pytest.raises(NoJsonForm):
        to_json(value)


@pytest.mark.parametrize(
    ("column_type", "dialect", "value", "form"),
    [
        (sa.Boolean(), "sqlite", 1, True),
        (sa.Boolean(), "sqlite", 0, False),
        (sa.Boolean(), "sqlite", 2, 2),
        (sa.Boolean(), "sqlite", None, None),
        (sa.Numeric(10, 2), "sqlite", 12.5, "12.50"),
        (sa.Numeric(10, 2), "sqlite", 12, "12.00"),
        (sa.Numeric(10, 2), "sqlite", 12.345, "12.345"),
        (sa.Numeric(10, 2), "sqlite", "twelve", "twelve"),
        (sa.Numeric(10, 2), "sqlite", "nan", "nan"),
        (sa.Numeric(10, 2), "postgresql", Decimal("12.50"), "12.50"),
        (sa.Numeric(), "postgresql", None, None),
        (sa.Float(), "sqlite", 12.5, 12.5),
        (sa.DateTime(), "sqlite", "2026-11-22 12:00:00.000000", "2026-11-22T12:00:00"),
        (sa.DateTime(), "sqlite", "2026-11-22T14:00:00+02:00", "2026-11-22T12:00:00Z"),
        (sa.DateTime(), "sqlite", "some day", "some day"),
        (sa.DateTime(), "sqlite", None, None),
        (sa.JSON(), "sqlite", '{"a": [1]}', {"a": [1]}),
        (sa.JSON(), "sqlite", "not json", "not json"),
        (sa.JSON(), "postgresql", "[1]", "[1]"),
    ],
)
def test_columns_of_both_databases_have_one_form(
    column_type: sa.types.TypeEngine[object], dialect: str, value: object, form: object
) -> None:
    """What SQLite keeps as numbers or text comes out as PostgreSQL gives it; other text stays as it is."""
    assert former(column_type, dialect)(value) == form
    assert type(former(column_type, dialect)(value)) is type(form)


FINITE = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-99999999, max_value=99999999)


@given(value=FINITE)
def test_decimals_survive_the_way_there_and_back(value: Decimal) -> None:
    """A decimal read as text and written again is the same number."""
    written = coerced({"n": sa.Column("n", sa.Numeric(10, 2))}, {"n": to_json(value)}, "postgresql")
    assert written == {"n": value}


@given(value=st.datetimes(timezones=st.just(UTC)))
def test_times_survive_the_way_there_and_back(value: datetime) -> None:
    """A moment read as text and written again is the same moment."""
    column = sa.Column("t", sa.DateTime(timezone=True))
    assert coerced({"t": column}, {"t": to_json(value)}, "postgresql") == {"t": value}


TAKEN = [
    (sa.Boolean(), True, True),
    (sa.Integer(), 2**31 - 1, 2**31 - 1),
    (sa.Float(), 3, 3.0),
    (sa.Numeric(5, 2), "123.45", Decimal("123.45")),
    (sa.Numeric(5, 2), 1.5, Decimal("1.5")),
    (sa.Date(), "1984-02-29", date(1984, 2, 29)),
    (sa.Time(), "07:30:00", time(7, 30)),
    (sa.LargeBinary(), "AP8=", b"\x00\xff"),
    (sa.Uuid(), "00000000-0000-0000-0000-000000000001", UUID(int=1)),
    (sa.Enum("gold", "blue"), "gold", "gold"),
    (sa.String(3), "äöü", "äöü"),
    (sa.JSON(), {"a": [1, None]}, {"a": [1, None]}),
    (sa.ARRAY(sa.Integer), [1, None], [1, None]),
]


@pytest.mark.parametrize(("column_type", "value", "driver"), TAKEN)
def test_columns_take_their_own_values(column_type: sa.types.TypeEngine[object], value: object, driver: object) -> None:
    """A JSON value in the documented form becomes what the driver wants."""
    taken = coerced({"x": sa.Column("x", column_type)}, {"x": value}, "postgresql")  # type: ignore[dict-item]
    assert taken == {"x": driver}


REFUSED = [
    (sa.Boolean(), 1),
    (sa.Integer(), True),
    (sa.Integer(), "1"),
    (sa.Integer(), 1.0),
    (sa.Integer(), 2**31),
    (sa.SmallInteger(), 2**15),
    (sa.BigInteger(), 2**63),
    (sa.Float(), "1.5"),
    (sa.Float(), True),
    (sa.Float(), 10**400),
    (sa.Numeric(5, 2), "1234.5"),
    (sa.Numeric(5, 2), "1.234"),
    (sa.Numeric(5, 2), "NaN"),
    (sa.Numeric(), "1e9999"),
    (sa.Numeric(5, 2), "twelve"),
    (sa.Numeric(5, 2), True),
    (sa.Date(), "2026-02-30"),
    (sa.Date(), 20260101),
    (sa.DateTime(), "2026-01-01T00:00:00Z"),
    (sa.DateTime(timezone=True), "2026-01-01T00:00:00"),
    (sa.DateTime(), "noon"),
    (sa.Time(), "25:00"),
    (sa.LargeBinary(), "not base64!"),
    (sa.LargeBinary(2), "AAAA"),
    (sa.Uuid(), "1"),
    (sa.Enum("gold", "blue"), "GOLD"),
    (sa.String(3), "four"),
    (sa.String(), 3),
    (sa.String(), "\x00"),
    (sa.String(), "\ud800"),
    (sa.JSON(), {"a": float("nan")}),
    (sa.JSON(), ["\x00"]),
    (sa.ARRAY(sa.Integer), "1"),
    (sa.ARRAY(sa.Integer), ["1"]),
    (sa.Interval(), "P1D"),
    (sa.types.NullType(), "x"),
]


@pytest.mark.parametrize(("column_type", "value"), REFUSED)
def test_columns_refuse_other_values(column_type: sa.types.TypeEngine[object], value: object) -> None:
    """A value the column would change, cut or choke on is refused by the field's name before any statement runs."""
    with pytest.raises(InputRefused) as raised:
        coerced({"x": sa.Column("x", column_type)}, {"x": value}, "postgresql")  # type: ignore[dict-item]
    assert [fault.pointer for fault in raised.value.faults] == ["/record/x"]


def test_every_fault_is_told_at_once() -> None:
    """All fields whose values are not taken are named together."""
    columns = {"a": sa.Column("a", sa.Integer), "b": sa.Column("b", sa.String(1)), "c": sa.Column("c", sa.Integer)}
    with pytest.raises(InputRefused) as raised:
        coerced(columns, {"a": "x", "b": "yy", "c": 1}, "sqlite")
    assert [fault.pointer for fault in raised.value.faults] == ["/record/a", "/record/b"]
