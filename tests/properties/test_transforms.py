"""What transforms, sealed fields and performing promise for every value, not for chosen examples."""

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from consent_gateway.database import open_engine
from consent_gateway.errors import KeysUnavailable, ProtectionRefused
from consent_gateway.protection import dates, pseudonyms, reversible, transforms
from consent_gateway.protection.fields import is_sealed, open_sealed, seal
from consent_gateway.protection.file_provider import FileKeyProvider
from consent_gateway.protection.keys import KeyRing
from consent_gateway.protection.material import ClassKey
from consent_gateway.protection.perform import Performer, TransformScope
from consent_gateway.protection.reversible import Place
from consent_gateway.protection.tokens import Token, parse
from consent_gateway.vocabulary import Decision, Effect, Obligation, Reason, Verdict
from tests.databases import build_schema

TODAY = date(2026, 11, 22)
KEYS = st.binary(min_size=32, max_size=32)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
NAMES = st.text(min_size=1, max_size=12)
STYLES = st.sampled_from(["all", "email", "phone", "name", "keep_last", "digits"])


@given(JSON, STYLES, st.integers(1, 4))
def test_a_mask_keeps_the_json_type(value: Any, style: str, keep: int) -> None:
    """A string becomes a string, anything else null."""
    masked = transforms.mask(value, style, keep)
    assert isinstance(masked, str) if isinstance(value, str) else masked is None


@given(
    st.text(alphabet="ab1+ ", max_size=10)
    | st.text()
    | st.emails()
    | st.from_regex(r"\+?[0-9 ]{0,20}", fullmatch=True),
    STYLES,
    st.integers(1, 4),
)
def test_a_mask_shows_no_more_than_it_declares(value: str, style: str, keep: int) -> None:
    """Each style shows at most the characters it names, and never half of what there was."""
    masked = str(transforms.mask(value, style, keep))
    if style == "digits":
        assert len(masked) == len(value)
        assert all(m == v or (m == "*" and v.isnumeric()) for m, v in zip(masked, value, strict=True))
        assert not any(c.isnumeric() for c in masked)
        return
    shown = masked.replace(transforms.HIDDEN, "")
    if style == "all":
        assert not shown
    elif style in ("phone", "keep_last"):
        told = [c for c in value if (c.isdigit() if style == "phone" else c.isalnum())]
        assert len(shown) in (0, 2 if style == "phone" else keep)
        assert len(shown) * 2 < max(len(told), 1)
        assert "".join(told).endswith(shown)
    elif style == "name":
        initials = shown.replace(".", " ").split()
        words = value.split()
        assert len(initials) <= 3
        assert all(len(initial) == 1 for initial in initials)
        assert len("".join(initials)) * 2 < max(sum(map(len, words)), 1)
    elif shown:
        local, _, domain = value.strip().rpartition("@")
        assert shown == f"{local[0]}@.{domain.rpartition('.')[2].lower()}"
        assert len(local) > 2


@given(KEYS, KEYS, KEYS)
def test_two_domains_never_share_a_persons_pseudonym(seed: bytes, one: bytes, other: bytes) -> None:
    """Under two domain keys a person has two pseudonyms; under one, always the same."""
    assume(one != other)
    first = pseudonyms.pseudonym_of_person(seed, one, "aaaa", "acme")
    assert first == pseudonyms.pseudonym_of_person(seed, one, "aaaa", "acme")
    assert first != pseudonyms.pseudonym_of_person(seed, other, "aaaa", "acme")
    assert first != pseudonyms.pseudonym_of_person(seed, one, "aaaa", "other")


@given(SCALARS.filter(lambda value: value is not None), NAMES, NAMES, KEYS, KEYS)
def test_pseudonyms_of_values_stay_apart(value: Any, field: str, other: str, one: bytes, two: bytes) -> None:
    """A value's pseudonym is another in each field and domain, and shows nothing of the value."""
    assume(one != two and field != other)
    made = {
        pseudonyms.pseudonym_of_value(value, field, one, "aaaa", "acme"),
        pseudonyms.pseudonym_of_value(value, other, one, "aaaa", "acme"),
        pseudonyms.pseudonym_of_value(value, field, two, "aaaa", "acme"),
        pseudonyms.pseudonym_of_value(value, field, one, "aaaa", "other"),
    }
    assert len(made) == 4
    assert len({len(str(token)) for token in made}) == 1


@given(st.text(), st.sampled_from([str.upper, str.lower, lambda text: f"  {text}\t"]))
def test_spelling_makes_no_other_pseudonym(value: str, respelt: Any) -> None:
    """Case and surrounding space do not change who is meant, as far as case folding tells."""
    assume(respelt(value).casefold().split() == value.casefold().split())
    first, second = (
        pseudonyms.pseudonym_of_value(text, "email", bytes(32), "aaaa", "acme") for text in (value, respelt(value))
    )
    assert first == second


@given(JSON.filter(lambda value: value is not None), st.lists(NAMES, min_size=8, max_size=8, unique=True), KEYS)
def test_a_moved_token_does_not_open(value: Any, names: list[str], key: bytes) -> None:
    """A reversible token opens in its own field, tenant, purpose and recipient, under its key id, and nowhere else."""
    field, tenant, purpose, recipient, *others = names
    home = Place(tenant, purpose, recipient, field)
    stable = parse(str(reversible.stable_token(value, home, key, "aaaa", 64)))
    nonces = (bytes(12), bytes(range(12)))
    random = parse(str(reversible.random_token(value, home, key, "aaaa", 64, "ds_a", key[::-1], nonces)))
    assert reversible.value_of_stable_token(stable, home, key) == value
    person, inner = reversible.person_of_random_token(random, home, key)
    assert person == "ds_a"
    assert reversible.value_of_random_token(random, home, key[::-1], person, inner) == value
    moved = [
        Place(tenant, purpose, recipient, others[0]),
        Place(others[1], purpose, recipient, field),
        Place(tenant, others[2], recipient, field),
        Place(tenant, purpose, others[3], field),
        Place(purpose, tenant, recipient, field),
    ]
    for there in moved:
        with pytest.raises(ProtectionRefused):
            reversible.value_of_stable_token(stable, there, key)
        with pytest.raises(ProtectionRefused):
            reversible.person_of_random_token(random, there, key)
        with pytest.raises(KeysUnavailable):
            reversible.value_of_random_token(random, there, key[::-1], person, inner)
    for token in (stable, random):
        renamed = Token(token.kind, token.version, "bbbb", token.body)
        turn: Any = reversible.value_of_stable_token if token is stable else reversible.person_of_random_token
        with pytest.raises(ProtectionRefused):
            turn(renamed, home, key)


@given(JSON, st.lists(NAMES, min_size=6, max_size=6, unique=True), KEYS)
def test_a_sealed_value_opens_at_home_only(value: Any, names: list[str], key: bytes) -> None:
    """Every JSON value comes back from its seal as it was, and from no other field, person, class or tenant."""
    tenant, person, field, *others = names
    home = ClassKey(tenant, person, "aaaa", "care", key)
    text = seal(value, field, person, home)
    assert is_sealed(text)
    assert open_sealed(text, field, person, home) == value
    elsewhere = (
        (others[0], person, home),
        (field, others[1], ClassKey(tenant, others[1], "aaaa", "care", key)),
        (field, person, ClassKey(others[2], person, "aaaa", "care", key)),
        (field, person, ClassKey(tenant, person, "aaaa", "support", key)),
    )
    for there, whose, keys in elsewhere:
        with pytest.raises(KeysUnavailable):
            open_sealed(text, there, whose, keys)


@given(st.text())
def test_only_what_was_written_is_a_token(text: str) -> None:
    """Arbitrary text is refused with a named cause, never with a crash."""
    with pytest.raises(ProtectionRefused):
        parse(text)


@given(st.dates(min_value=date(1880, 1, 1), max_value=date(2030, 1, 1)), st.integers(5, 20))
def test_an_age_band_holds_the_age(born: date, width: int) -> None:
    """The band has the width asked for and holds the age, from 90 on it is open, and the future has none."""
    band = dates.age_band(born.isoformat(), width, TODAY)
    age = TODAY.year - born.year - ((TODAY.month, TODAY.day) < (born.month, born.day))
    if born > TODAY:
        assert band is None
        return
    assert band == dates.age_band(age, width, TODAY)
    if str(band).endswith("+"):
        assert band == "90+"
        assert age > 90 - width
    else:
        low, high = map(int, str(band).split("-"))
        assert low <= age <= high < 90
        assert high - low + 1 == width
        assert low % width == 0


@given(st.text(max_size=12) | st.from_regex(r"[0-9]{4,5}(-[0-9]{4})?", fullmatch=True), st.integers(1, 3))
def test_a_postal_area_loses_at_least_two_characters(code: str, keep: int) -> None:
    """No more than `keep` characters are shown, and at least two of the code are always missing."""
    area = str(transforms.zip_area(code, keep))
    letters = "".join(c for c in code.upper() if c.isalnum())
    shown = area.rstrip("*")
    assert len(shown) <= keep or shown == "000"
    assert shown == "000" or (letters.startswith(shown) and len(shown) <= max(0, len(letters) - 2))


@given(st.floats(-180, 180), st.integers(0, 2))
def test_a_grid_forgets_the_place(degree: float, decimals: int) -> None:
    """All places of one grid cell give the same number, which lies within half a cell."""
    cell = transforms.geo(degree, decimals)
    assert isinstance(cell, float)
    assert abs(cell - degree) <= 0.5 * 10**-decimals + 1e-9
    assert transforms.geo(cell, decimals) == cell
    assert math.copysign(1, cell) == 1 or cell < 0


@given(st.integers() | st.floats(-1e12, 1e12) | st.decimals(-(10**12), 10**12, places=2), st.integers(2, 10**6))
def test_an_amount_is_the_foot_of_its_band(value: Any, step: int) -> None:
    """The result is a multiple of the step, at most the value, and less than a step below it."""
    given_value = str(value) if isinstance(value, Decimal) else value
    foot = transforms.amount(given_value, step)
    assert isinstance(foot, str) is isinstance(given_value, str)
    assert int(str(foot)) % step == 0
    exact = Decimal(str(value)) if not isinstance(value, float) else Decimal(value)
    assert -1 < (exact - int(str(foot))) < step + 1


@given(st.datetimes(timezones=st.just(UTC)), st.sampled_from(["year", "quarter", "month", "week", "day", "hour"]))
def test_a_cut_time_is_a_prefix_or_a_count(moment: datetime, unit: str) -> None:
    """The same unit of time gives the same text, and nothing finer than the unit is left."""
    cut = str(dates.time_part(moment.isoformat(), unit))
    assert len(cut) == {"year": 4, "quarter": 7, "month": 7, "week": 8, "day": 10, "hour": 13}[unit]
    same = moment.replace(minute=0, second=0, microsecond=0)
    assert dates.time_part(same.isoformat(), unit) == cut
    if unit != "hour":
        assert dates.time_part(moment.date().isoformat(), unit) == cut


@given(st.ip_addresses())
def test_an_address_loses_its_host(address: Any) -> None:
    """The last 8 bits of IPv4 and the last 80 of IPv6 are zero, and the network is kept."""
    cut = ip_address(str(transforms.ip_truncate(str(address))))
    mapped = getattr(address, "ipv4_mapped", None)
    whole, bits = (mapped, 8) if mapped else (address, 8 if address.version == 4 else 80)
    assert int(cut) == int(whole) >> bits << bits


GENERALISERS: list[Any] = [
    lambda value: dates.age_band(value, 10, TODAY),
    lambda value: transforms.zip_area(value, 3),
    lambda value: transforms.geo(value, 1),
    lambda value: transforms.amount(value, 100),
    lambda value: dates.time_part(value, "month"),
    transforms.ip_truncate,
]


@given(JSON, st.sampled_from(GENERALISERS))
def test_what_cannot_be_read_becomes_null(value: Any, generalise: Any) -> None:
    """No generaliser crashes on any JSON value, and none gives text back that it could not read."""
    result = generalise(value)
    if value is None:
        assert result is None
    if isinstance(value, str) and len(value) > 3 and generalise is not GENERALISERS[3]:
        assert result != value or generalise is transforms.ip_truncate


@pytest.fixture(scope="module")
def performer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Performer]:
    """A performer over real keys, made once for all examples."""

    class Noon:
        def now(self) -> datetime:
            return datetime(2026, 11, 22, 12, tzinfo=UTC)

    folder = tmp_path_factory.mktemp("keys")
    engine = open_engine(f"sqlite:///{folder / 'keys.db'}", threads=2)
    build_schema(engine, "keys")
    ring = KeyRing(FileKeyProvider.create(folder / "root.key"), engine, "acme", Noon())
    ring.create("ds_a")
    yield Performer(ring, "acme")
    ring.close()
    engine.dispose()


FIELDS = ["a", "b", "c", "orders.x", "orders.y"]
OBLIGATIONS = st.sampled_from(
    [
        *[()] * 8,
        (Obligation("mask"),),
        (Obligation("mask", (("style", "email"),)),),
        (Obligation("generalise.amount"), Obligation("mask")),
        (Obligation("pseudonym.subject"),),
        (Obligation("pseudonym.value"),),
        (Obligation("token.det"),),
        (Obligation("token.rand"),),
        (Obligation("email.alias"),),
        (Obligation("date.shift"),),
        (Obligation("fpe.alnum"),),
        (Obligation("text.scrub"), Obligation("fpe.alnum")),
        (Obligation("aggregate.k"),),
        (Obligation("constant", (("value", "x"),)),),
        (Obligation("drop"),),
    ]
)
VERDICTS = st.builds(
    lambda effect, obligations: Verdict(effect, Reason.CONSENT, "rule", obligations),
    st.sampled_from(Effect),
    OBLIGATIONS,
)


@given(st.data())
def test_nothing_withheld_or_unasked_ever_leaves(performer: Performer, data: st.DataObject) -> None:
    """Whatever store and decision say, what leaves has an open verdict and has been through its transform."""
    verdicts = data.draw(st.dictionaries(st.sampled_from(FIELDS), VERDICTS, max_size=2))
    canary = st.text(alphabet="abcdefghij", min_size=9, max_size=9).map(lambda text: f"canary{text}")
    near = sorted(verdicts) + data.draw(st.lists(st.sampled_from(FIELDS), max_size=1))
    names = data.draw(st.lists(st.sampled_from(near), max_size=2, unique=True)) if near else []
    values: dict[str, Any] = {name: data.draw(canary) for name in names if "." not in name}
    row = {name.removeprefix("orders."): data.draw(canary) for name in names if "." in name}
    if row:
        values["orders"] = [row]
    decided = Decision(verdicts, "r", "p", "DE", (), None)
    try:
        safe = performer.perform(values, decided, TransformScope("analytics", None, "ds_a"))
    except ProtectionRefused:
        safe = {}
    leaves = [(name, value) for name, value in safe.items() if name != "orders"]
    leaves += [(f"orders.{name}", value) for one in safe.get("orders", []) for name, value in one.items()]
    for name, value in leaves:
        assert name in verdicts
        assert verdicts[name].is_open
        if verdicts[name].obligations or verdicts[name].effect is not Effect.ALLOW:
            assert "canary" not in str(value)


@given(st.timedeltas(min_value=timedelta(days=1), max_value=timedelta(days=40000)))
def test_bands_never_tell_a_birthday(age: timedelta) -> None:
    """Two people born a day apart are told apart by their band only at a band's edge."""
    born = TODAY - age
    one, two = (dates.age_band(day.isoformat(), 10, TODAY) for day in (born, born + timedelta(days=1)))
    years = TODAY.year - born.year - ((TODAY.month, TODAY.day) < (born.month, born.day))
    assert one == two or years % 10 == 0
