"""The narrator: shortens so that the point can be seen, and colours only where it was told to."""

import json

from consent_gateway.demo.calls import Answer
from consent_gateway.demo.narration import Narrator, rendered, shortened

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
    """Three items are kept and the rest is counted; a long text ends in an ellipsis."""
    cut = shortened(LONG)
    assert isinstance(cut, dict)
    assert cut["rows"] == [{"n": 0}, {"n": 1}, {"n": 2}, "… 6 more"]
    text = shortened("x" * 500)
    assert isinstance(text, str)
    assert len(text) == 72
    assert text.endswith("…")
    assert shortened({str(n): n for n in range(20)})["…"] == "8 more"


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
