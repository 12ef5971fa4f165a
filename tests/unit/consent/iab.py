"""Writes IAB strings for tests, field by field as the specifications lay them out; the gateway only reads them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
Field = tuple[int, int]
"""Value and width in bits."""

# Number of fields of two bits by section, as the specifications print them: before the opt-outs, the opt-outs, about
# sensitive data, after it.
SECTIONS = {
    7: ("usnat", 6, 3, 12, 6),
    8: ("usca", 3, 2, 9, 6),
    9: ("usva", 3, 2, 8, 4),
    10: ("usco", 3, 2, 7, 4),
    11: ("usut", 4, 2, 8, 4),
    12: ("usct", 3, 2, 8, 6),
    13: ("usfl", 3, 2, 8, 7),
    14: ("usmt", 3, 2, 8, 7),
    15: ("usor", 3, 2, 11, 7),
    16: ("ustx", 3, 2, 8, 5),
    17: ("usde", 3, 2, 9, 9),
    18: ("usia", 4, 2, 8, 4),
    19: ("usne", 3, 2, 8, 5),
    20: ("usnh", 3, 2, 8, 7),
    21: ("usnj", 3, 2, 10, 9),
    22: ("ustn", 3, 2, 8, 5),
    23: ("usmn", 3, 2, 8, 5),
    24: ("usmd", 5, 2, 0, 1),
    25: ("usin", 5, 2, 0, 10),
    26: ("usky", 5, 2, 0, 10),
    27: ("usri", 5, 2, 0, 2),
}


def packed(bits: str, step: int = 6) -> str:
    """Bits as base64url text, padded with zeros to a multiple of `step` and of six."""
    bits += "0" * (-len(bits) % step)
    bits += "0" * (-len(bits) % 6)
    return "".join(ALPHABET[int(bits[at : at + 6], 2)] for at in range(0, len(bits), 6))


def written(fields: Iterable[Field]) -> str:
    """Fields as bits."""
    return "".join(f"{value:0{width}b}" if width else "" for value, width in fields)


def fibonacci(number: int) -> str:
    """A number in Fibonacci coding."""
    weights = [1, 2]
    while weights[-1] <= number:
        weights.append(weights[-1] + weights[-2])
    bits = ""
    for weight in reversed([each for each in weights if each <= number]):
        bits = ("1" if weight <= number else "0") + bits
        number -= weight if weight <= number else 0
    return bits + "1"


def header(ids: Sequence[int], step: int = 6) -> str:
    """The header that names these sections, each by itself."""
    bits, last = written([(3, 6), (1, 6), (len(ids), 12)]), 0
    for number in ids:
        bits += "0" + fibonacci(number - last)
        last = number
    return packed(bits, step)


def us_section(
    number: int,
    opt_outs: Sequence[int] | None = None,
    sensitive: Sequence[int] | None = None,
    *,
    gpc: bool | None = None,
    version: int = 1,
) -> str:
    """A section of US law; what is left out says that the person did not object."""
    _, before, outs, about, after = SECTIONS[number]
    told = [2] * outs if opt_outs is None else opt_outs
    said = [2] * about if sensitive is None else sensitive
    values = [*[1] * before, *told, *said, *[0] * after]
    core = packed(written([(version, 6), *[(value, 2) for value in values]]))
    return core if gpc is None else f"{core}.{packed(written([(1, 2), (int(gpc), 1)]))}"


def gpp(sections: dict[int, str], step: int = 6) -> str:
    """A GPP string of these sections."""
    return "~".join([header(sorted(sections), step), *(sections[number] for number in sorted(sections))])


def tc(
    purposes: Iterable[int] = (),
    vendors: Iterable[int] = (),
    *,
    created: datetime = datetime(2026, 1, 5, tzinfo=UTC),
    disclosed: Iterable[int] | None = None,
    ranged: bool = False,
) -> str:
    """A TC string of version 2 with these consents."""
    moment = int(created.timestamp() * 10)
    fields: list[Field] = [(2, 6), (moment, 36), (moment, 36), (14, 12), (2, 12), (1, 6), (4, 6), (13, 6), (174, 12)]
    fields += [(4, 6), (1, 1), (0, 1), (0, 12), *_field(purposes, 24), (0, 24), (0, 1), (20, 6), (18, 6)]
    core = packed(written(fields) + _vendors(vendors, ranged) + _vendors((), False) + "0" * 12)
    return core if disclosed is None else f"{core}.{packed('001' + _vendors(disclosed, ranged))}"


def _field(numbers: Iterable[int], count: int) -> list[Field]:
    held = set(numbers)
    return [(int(number in held), 1) for number in range(1, count + 1)]


def _vendors(numbers: Iterable[int], ranged: bool) -> str:
    held = sorted(set(numbers))
    most = held[-1] if held else 0
    if not ranged or not held:
        return written([(most, 16), (0, 1), *_field(held, most)])
    runs: list[list[int]] = []
    for number in held:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    entries: list[Field] = []
    for run in runs:
        entries += [(1, 1), (run[0], 16), (run[-1], 16)] if len(run) > 1 else [(0, 1), (run[0], 16)]
    return written([(most, 16), (1, 1), (len(runs), 12), *entries])
