"""The narrator: shortens so that the point can be seen, and colours only where it was told to."""

import json

from consent_gateway.demo.calls import Answer
from consent_gateway.demo.narration import Narrator, picked, rendered, shortened

LONG = {
    "data_subject": "ds_" + "0" * 26,
    "fields": {
        f"field_{n}": {"effect": "withhold", "reason": "no_consent", "rule": f"floor.rule-{n}"} for n in range(5)
    },
    "rows": [{"n": n} for n in range(9)],
}


def _told(answer: Answer, *, colour: bool) -> list[str]:
    lines: list[str] = []
    Narrator(lines.append, colour=colour).answer(answer)
    return lines


def test_rendered_lines_are_the_same_document() -> None:
    """What is printed over several lines parses back to the value."""
    assert json.loads("\n".join(rendered(LONG))) == LONG
    assert max(map(len, rendered(LONG))) <= 110


def test_a_short_value_stays_on_one_line() -> None:
    """What fits is not spread out."""
    assert rendered({"a": [1, 2, 3]}) == ['{"a": [1, 2, 3]}']


def test_long_lists_and_texts_are_cut_and_say_so() -> None:
    """Two items are kept and the rest is counted, a long text ends in an ellipsis, an empty list is left out."""
    cut = shortened(LONG)
    assert isinstance(cut, dict)
    assert cut["rows"] == [{"n": 0}, {"n": 1}, "… 7 more"]
    text = shortened("x" * 500)
    assert isinstance(text, str)
    assert len(text) == 84
    assert text.endswith("…")
    many = shortened({str(n): n for n in range(20)})
    assert isinstance(many, dict)
    assert many["…"] == "8 more"
    assert shortened({"obligations": [], "record": {}}) == {"record": {}}


def test_a_verdict_stays_on_one_line() -> None:
    """Verdicts stand below each other, each on its own line even where it is longer than others may be."""
    verdict = {"effect": "withhold", "reason": "category_not_declared_for_purpose", "rule": "gateway." + "x" * 40}
    lines = rendered({"fields": {"a": verdict, "b": verdict}})
    assert [line.strip()[:4] for line in lines] == ["{", '"fie', '"a":', '"b":', "}", "}"]


def test_only_the_named_parts_are_shown_and_never_of_an_error() -> None:
    """Paths pick parts in their order, what is missing is passed over, and an error is shown whole."""
    body = {"a": 1, "state": {"purposes": {"x": {"status": "granted", "more": 2}}}, "z": 3}
    assert picked(body, ("z", "state.purposes.x.more", "nowhere.at.all", "state.purposes.x.status")) == {
        "z": 3,
        "state": {"purposes": {"x": {"more": 2, "status": "granted"}}},
    }
    lines: list[str] = []
    Narrator(lines.append, colour=False).answer(Answer(403, {}, {"code": "fields_refused"}), ("record",))
    assert "fields_refused" in "".join(lines)


def test_no_colour_means_no_escape_sequence() -> None:
    """Without colour the output holds no control character; with it, a refusal is red."""
    plain = "".join(_told(Answer(200, {}, LONG), colour=False))
    assert "\x1b" not in plain
    painted = "".join(_told(Answer(200, {}, LONG), colour=True))
    assert '\x1b[31m"withhold"' in painted


def test_chapters_are_numbered_and_a_broken_promise_stands_out() -> None:
    """Chapters count from one, and a promise not kept is printed as such."""
    lines: list[str] = []
    narrator = Narrator(lines.append, colour=False)
    narrator.chapter("First")
    narrator.chapter("Second")
    narrator.broken("the log verifies")
    assert "2. Second" in lines
    assert "promised and did not happen: the log verifies" in lines[-1]
