"""Reads strings of the IAB Global Privacy Platform: the header and the sections of US law; writes none.

Source: Global Privacy Platform, Core/Consent String Specification and Sections/US-National, US-States (IAB Tech Lab).
Read are the opt-outs of sale, sharing and targeted advertising, what is said of sensitive data, and the GPC
sub-section: what the gateway acts on. All of that stands before the fields whose number changed between versions of
a section, so a string whose version is mislabelled, of which there are many, is read alike. In each field 1 says no
(opted out, or no consent), 2 says that the person did not, 0 that the question did not come up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from consent_gateway.consent.bits import Bits, Malformed

TCF_EU, USP = 2, 6
LONGEST = 4096  # characters
_HEADER_TYPE, _HEADER_VERSION = 3, 1
_MOST_SECTIONS = 30
_GPC_SEGMENT = 1
_NO = 1
_SALE_AND_ADS = ("sale", "targeted_advertising")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a section's core holds what is read: `skipped` fields of two bits after the version, the opt-outs,
    then as many fields about sensitive data.
    """

    name: str
    skipped: int
    opt_outs: tuple[str, ...] = _SALE_AND_ADS
    sensitive: int = 0
    versions: tuple[int, ...] = (1,)
    draft: bool = False  # its sub-sections changed from draft to draft: they are left unread


# The youngest sections, from Maryland on, begin with two fields of the agreement and order the sensitive data
# differently in each draft, so it is not read of them.
_LAYOUTS: Mapping[int, _Layout] = MappingProxyType(
    {
        7: _Layout("usnat", 6, ("sale", "sharing", "targeted_advertising"), 12, (1, 2)),
        8: _Layout("usca", 3, ("sale", "sharing"), 9),
        9: _Layout("usva", 3, sensitive=8),
        10: _Layout("usco", 3, sensitive=7),
        11: _Layout("usut", 4, sensitive=8),
        12: _Layout("usct", 3, sensitive=8),
        13: _Layout("usfl", 3, sensitive=8),
        14: _Layout("usmt", 3, sensitive=8),
        15: _Layout("usor", 3, sensitive=11),
        16: _Layout("ustx", 3, sensitive=8),
        17: _Layout("usde", 3, sensitive=9),
        18: _Layout("usia", 4, sensitive=8),
        19: _Layout("usne", 3, sensitive=8),
        20: _Layout("usnh", 3, sensitive=8),
        21: _Layout("usnj", 3, sensitive=10),
        22: _Layout("ustn", 3, sensitive=8),
        23: _Layout("usmn", 3, sensitive=8),
        24: _Layout("usmd", 5),
        25: _Layout("usin", 5, draft=True),
        26: _Layout("usky", 5, draft=True),
        27: _Layout("usri", 5, draft=True),
    }
)


@dataclass(frozen=True, slots=True)
class UsSection:
    """What one section of US law says. `gpc` is None where it has no such sub-section."""

    name: str
    opted_out: frozenset[str] = frozenset()  # of `sale`, `sharing`, `targeted_advertising`
    sensitive_refused: bool = False
    gpc: bool | None = None


@dataclass(frozen=True, slots=True)
class GppString:
    """A string taken apart: the US sections, and the text of a TCF or US Privacy section, read by their own rules."""

    us: tuple[UsSection, ...] = ()
    tcf: str | None = None
    usp: str | None = None


def read_gpp(text: str) -> GppString:
    """The string's sections. Raises `Malformed`, also for a section that is not read here: it is then named."""
    if len(text) > LONGEST:
        raise Malformed(f"it is longer than {LONGEST} characters")
    header, *sections = text.split("~")
    ids = _section_ids(header)
    if len(ids) != len(sections):
        raise Malformed("the header names another number of sections than follow it")
    us: list[UsSection] = []
    tcf = usp = None
    for number, section in zip(ids, sections, strict=True):
        if number == TCF_EU:
            tcf = section
        elif number == USP:
            usp = section
        elif number in _LAYOUTS:
            us.append(_us_section(_LAYOUTS[number], section))
        else:
            raise Malformed(f"section {number} is not read here")
    return GppString(tuple(us), tcf, usp)


def _section_ids(header: str) -> tuple[int, ...]:
    bits = Bits(header)
    if bits.integer(6) != _HEADER_TYPE:
        raise Malformed("it does not begin with a GPP header")
    if (version := bits.integer(6)) != _HEADER_VERSION:
        raise Malformed(f"version {version} of the header is not read here")
    ids: list[int] = []
    last = 0
    for _ in range(bits.integer(12)):
        is_range = bits.boolean()
        first = last + bits.fibonacci()
        last = first + bits.fibonacci() if is_range else first
        if last - first >= _MOST_SECTIONS or len(ids) >= _MOST_SECTIONS:
            raise Malformed("the header names too many sections")
        ids += range(first, last + 1)
    if not ids:
        raise Malformed("it holds no section")
    if "1" in bits.rest:  # padding to six or to eight bits, both are seen
        raise Malformed("the header holds more than its sections")
    return tuple(ids)


def _us_section(layout: _Layout, section: str) -> UsSection:
    core, *others = section.split(".")
    bits = Bits(core)
    if (version := bits.integer(6)) not in layout.versions:
        raise Malformed(f"version {version} of section {layout.name} is not read here")
    bits.integer(2 * layout.skipped)
    answers = {name: _answer(bits, layout.name) for name in layout.opt_outs}
    sensitive = [_answer(bits, layout.name) for _ in range(layout.sensitive)]
    gpc: bool | None = None
    for other in () if layout.draft else others:
        segment = Bits(other)
        if segment.integer(2) != _GPC_SEGMENT or gpc is not None:
            raise Malformed(f"section {layout.name} holds a sub-section that is not read here")
        gpc = segment.boolean()
    return UsSection(
        layout.name, frozenset(name for name, answer in answers.items() if answer == _NO), _NO in sensitive, gpc
    )


def _answer(bits: Bits, name: str) -> int:
    answer = bits.integer(2)
    if answer > 2:
        raise Malformed(f"section {name} holds an answer that is none: 3")
    return answer
