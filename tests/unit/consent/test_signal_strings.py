"""Reading of GPP, TCF and US Privacy strings, against strings written from the specifications' text."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_gateway.consent.bits import Bits, Malformed
from consent_gateway.consent.gpp import read_gpp
from consent_gateway.consent.signals import Asked, Told, asks, gpc_sent, read_signal
from consent_gateway.consent.tcf import read_tcf
from consent_gateway.errors import InputRefused
from consent_gateway.vocabulary import OPENING, EventKind
from tests.unit.consent.iab import SECTIONS, fibonacci, gpp, header, packed, tc, us_section

ADS = ("data_sale", "targeted_ads")
BY_ADS = tuple(Asked(EventKind.OPT_OUT, purpose) for purpose in ADS)


@given(st.integers(1, 4000))
def test_fibonacci_coding_is_read_as_written(number: int) -> None:
    """A number in Fibonacci coding is read back, and nothing beyond it is touched."""
    bits = Bits(packed(fibonacci(number) + "01"))
    assert bits.fibonacci() == number
    assert bits.rest.startswith("01")


@pytest.mark.parametrize(
    ("text", "ids"), [("DBABM", "2"), ("DBABMA", "2"), ("DBACNY", "2 6"), ("DBABjw", "5-6")], ids=str
)
def test_the_headers_of_the_specification_are_read(text: str, ids: str) -> None:
    """The specification's own headers, padded to six bits or to eight; a section that is not read is named."""
    tcf, usp = tc({1}), "1YYN"
    if ids == "2":
        assert read_gpp(f"{text}~{tcf}").tcf == tcf
    elif ids == "2 6":
        assert (read_gpp(f"{text}~{tcf}~{usp}").tcf, read_gpp(f"{text}~{tcf}~{usp}").usp) == (tcf, usp)
    else:
        with pytest.raises(Malformed, match="section 5 is not read here"):
            read_gpp(f"{text}~{tcf}~{usp}")


def test_published_sections_of_california_are_read() -> None:
    """Two strings published with the reference library: one that opts out of all with GPC, one that says nothing."""
    (said,) = read_gpp(f"{header([8])}~BVWSSSVY.YA").us
    assert (said.opted_out, said.sensitive_refused, said.gpc) == ({"sale", "sharing"}, True, True)
    (silent,) = read_gpp(f"{header([8])}~BAAAAABA.QA").us
    assert (silent.opted_out, silent.sensitive_refused, silent.gpc) == (frozenset(), False, False)


@pytest.mark.parametrize("number", sorted(SECTIONS))
def test_each_section_gives_each_of_its_answers(number: int) -> None:
    """Of every US section each opt-out is read from its own place, and 2 or 0 there is no opt-out."""
    name, _, outs, about, _ = SECTIONS[number]
    names = {"usnat": ("sale", "sharing", "targeted_advertising"), "usca": ("sale", "sharing")}
    for at, what in enumerate(names.get(name, ("sale", "targeted_advertising"))):
        (section,) = read_gpp(gpp({number: us_section(number, [1 if at == one else 2 for one in range(outs)])})).us
        assert (section.name, section.opted_out, section.sensitive_refused) == (name, {what}, False)
    for at in range(about):
        (section,) = read_gpp(
            gpp({number: us_section(number, sensitive=[1 if at == n else 0 for n in range(about)])})
        ).us
        assert (section.opted_out, section.sensitive_refused) == (frozenset(), True)
    assert read_gpp(gpp({number: us_section(number, [0] * outs)})).us[0].opted_out == frozenset()


@pytest.mark.parametrize("number", sorted(set(SECTIONS) - {25, 26, 27}))
@pytest.mark.parametrize("sent", [True, False])
def test_the_gpc_sub_section_is_read(number: int, sent: bool) -> None:
    """The sub-section says whether the browser sent the signal."""
    (section,) = read_gpp(gpp({number: us_section(number, gpc=sent)})).us
    assert section.gpc is sent


def test_a_mislabelled_national_section_gives_the_same_answers() -> None:
    """A national section of version 2 that calls itself 1, or the other way round, is read alike."""
    (one, two) = (read_gpp(gpp({7: us_section(7, [1, 2, 1], version=version)})).us[0] for version in (1, 2))
    assert one.opted_out == two.opted_out == {"sale", "targeted_advertising"}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "ends too soon"),
        ("DBAB!", "alphabet"),
        ("DBABM", "another number"),
        ("BBABM~x", "GPP header"),
        ("DCABM~x", "version 2 of the header"),
        ("DBAA", "no section"),
        (f"{header([8])}x~{us_section(8)}", "more than its sections"),
        (f"{header([8])}~{us_section(8)[:5]}", "ends too soon"),
        (f"{header([8])}~{us_section(8, [3, 2])}", "3"),
        (f"{header([8])}~{us_section(8, version=9)}", "version 9 of section usca"),
        (f"{header([8])}~{us_section(8)}.gA", "sub-section"),
        (f"{header([8])}~{us_section(8, gpc=True)}.YA", "sub-section"),
        (f"{header([28])}~{us_section(8)}", "section 28"),
        (packed("000011000001111111111111" + "1" + fibonacci(1) + fibonacci(3000)), "too many"),
        ("A" * 5000, "longer"),
    ],
)
def test_a_string_that_is_not_understood_is_refused_by_name(text: str, cause: str) -> None:
    """What is malformed or not known is refused, names its cause and quotes nothing."""
    with pytest.raises(InputRefused, match="`gpp`") as refused:
        read_signal(gpp=text)
    assert cause in refused.value.message
    assert not text or text not in refused.value.message
    assert [fault.pointer for fault in refused.value.faults] == ["/gpp"]


@given(
    purposes=st.sets(st.integers(1, 24)),
    vendors=st.sets(st.integers(1, 300), max_size=40),
    disclosed=st.none() | st.sets(st.integers(1, 300), max_size=40),
    ranged=st.booleans(),
)
def test_a_tc_string_is_read_as_written(
    purposes: set[int], vendors: set[int], disclosed: set[int] | None, ranged: bool
) -> None:
    """Purposes, vendors and disclosed vendors come back, as bits and as ranges."""
    read = read_tcf(tc(purposes, vendors, disclosed=disclosed, ranged=ranged))
    assert (read.purposes, read.vendors, read.disclosed) == (purposes, vendors, disclosed)
    assert read.created == datetime(2026, 1, 5, tzinfo=UTC)


def test_a_published_tc_string_is_read() -> None:
    """A string of 2022 published with the reference library: purposes one to ten, 772 vendors at most."""
    read = read_tcf("COv_eg6Ov_eg6AOADBENAaCgAP_AAH_AACiQAVEUQQoAIQAqIoghAAQgAA.YAAAAAAAAAAAAAAAAAA")
    assert (read.purposes, read.policy_version) == (set(range(1, 11)), 2)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "ends too soon"),
        ("BAAA", "version 1"),
        (tc()[:30], "ends too soon"),
        (tc() + ".AAAA", "type 0"),
        (tc(disclosed={1}) + "." + tc(disclosed={1}).split(".")[1], "twice"),
        (tc(created=datetime(2026, 2, 28, tzinfo=UTC)), "disclosed"),
        ("C________________", "ends too soon"),
    ],
)
def test_a_tc_string_that_is_not_understood_is_refused_by_name(text: str, cause: str) -> None:
    """Malformed, of another version, or without the segment that TCF 2.3 demands."""
    with pytest.raises(InputRefused, match="`tcf`") as refused:
        read_signal(tcf=text)
    assert cause in refused.value.message


@given(st.text(max_size=60) | st.text(alphabet="ABCDEFabc019-_~.", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes a reader fail otherwise than by refusing it."""
    for name in ("gpc", "gpp", "tcf", "usp"):
        try:
            read_signal(**{name: text})
        except InputRefused:
            continue


@given(st.text(alphabet="ABCDEFabc019-_~.", min_size=1, max_size=40))
def test_no_signal_asks_for_anything_that_opens(tail: str) -> None:
    """Whatever a string says, each thing it asks for is of a kind that only closes."""
    strings = [gpp({8: us_section(8, [1, 1], gpc=True), 7: us_section(7)}), gpp({9: us_section(9)}) + tail, tail]
    for text in strings:
        try:
            told = read_signal(gpp=text)
        except InputRefused:
            continue
        assert not {one.kind for one in asks(told, ADS)} & OPENING


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        (read_signal(gpc="1"), (Asked(EventKind.GPC),)),
        (read_signal(gpc="0"), ()),
        (read_signal(usp="1YYN"), BY_ADS),
        (read_signal(usp="1YNN"), ()),
        (read_signal(usp="1---"), ()),
        (read_signal(gpp=gpp({8: us_section(8, [2, 1])})), BY_ADS),
        (read_signal(gpp=gpp({8: us_section(8)})), ()),
        (read_signal(gpp=gpp({8: us_section(8, sensitive=[2] * 8 + [1])})), (Asked(EventKind.LIMIT),)),
        (read_signal(gpp=gpp({12: us_section(12, gpc=True)})), (Asked(EventKind.GPC),)),
        (read_signal(gpp=gpp({6: "1NYN"})), BY_ADS),
        (read_signal(tcf=tc({1, 2, 3, 4})), ()),
        (read_signal(tcf=tc({1, 2, 3})), tuple(Asked(EventKind.REFUSE, purpose) for purpose in ADS)),
    ],
)
def test_what_each_signal_asks_for(told: Told, asked: tuple[Asked, ...]) -> None:
    """An objection asks for what closes; a yes, a silence and a zero ask for nothing."""
    assert asks(told, ADS) == asked


@pytest.mark.parametrize("usp", ["", "1", "2YYN", "1YY", "1yyn", "1YYNN", "1XYN"])
def test_a_us_privacy_string_of_another_form_is_refused(usp: str) -> None:
    """Version 1 and three answers, nothing else."""
    with pytest.raises(InputRefused, match="`usp`"):
        read_signal(usp=usp)


def test_one_thing_is_not_said_twice() -> None:
    """A section that also stands in the GPP string is refused: two texts could differ. Nothing sent is refused too."""
    with pytest.raises(InputRefused, match="send it once"):
        read_signal(gpp=gpp({6: "1YYN"}), usp="1YNN")
    with pytest.raises(InputRefused, match="no signal"):
        read_signal()
    with pytest.raises(InputRefused, match="neither"):
        read_signal(gpc="yes")


@pytest.mark.parametrize("header_sent", ["1", " 1 ", "0, 1", "1, 1", "1,0"])
def test_one_exact_one_is_the_signal(header_sent: str) -> None:
    """Of values joined by a proxy one exact `1` is enough; see the calls' test for what is none."""
    assert gpc_sent(header_sent)
    assert not gpc_sent(header_sent.replace("1", "11"))
