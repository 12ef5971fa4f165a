"""Requests worked to their end on the pages, without any script; two officers at once; forms by state alone."""

import re
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consent_gateway.audit.log import ANY
from consent_gateway.errors import Conflict
from consent_gateway.rights.clocks import Pause
from consent_gateway.rights.states import Act, DenialGround, HoldGround, Standing, State, step
from consent_gateway.web.console.requests import _allowed
from tests.console.conftest import Desk, Open
from tests.console.world import World


def press(page: Any, name: str) -> None:
    """Press a button and be back on the request's page."""
    page.get_by_role("button", name=name, exact=True).click()
    assert "The step was not taken" not in page.inner_text("main"), page.inner_text("main")[:400]


def test_an_access_request_from_letter_to_release(world: World, opened: Open) -> None:
    """Proved, approved, made, reviewed with one field blanked, released: in a browser that runs no script."""
    request_id = world.ask("access", 4)
    page = opened("olga", scripts=False)
    page.goto(f"/console/requests/{request_id}")
    press(page, "It was acknowledged")
    page.get_by_label("Your reference of what you saw").fill("passport-17")
    press(page, "Identity is proved")
    press(page, "Approve")
    press(page, "Carry it out")
    page.get_by_role("link", name="Review and release").click()
    text = page.inner_text("main")
    assert "first_name" in text
    page.get_by_label("Blank first_name", exact=True).check()
    press(page, "Release the package")
    assert "fulfilled" in page.inner_text("main")
    assert "Nothing: the request is closed" in page.inner_text("main")
    world.settle()
    acts = [
        one.entry
        for one in world.services.evidence.log.entries(ANY, limit=100_000)
        if one.entry["kind"] == "rights_request" and one.entry.get("reference") == request_id
    ]
    assert {"acknowledge", "prove", "approve", "start", "finish"} <= {one["action"] for one in acts}
    by_officer = [one for one in acts if one["action"] in ("acknowledge", "approve", "start", "finish")]
    assert all(one["detail"]["officer"] == world.officers["olga"] for one in by_officer)


def test_refusing_names_a_ground_and_extending_a_reason(world: World, opened: Open) -> None:
    """Without a choice from the list nothing happens; with one the page says what stands now."""
    page = opened("olga", scripts=False)
    page.goto(f"/console/requests/{world.ask('access', 5)}")
    page.locator("#extend-reason").select_option("complexity")
    press(page, "Extend")
    assert "complexity" in page.inner_text("dl.facts")
    page.locator("#deny-ground").select_option("unfounded")
    press(page, "Refuse the request")
    assert "denied" in page.inner_text("main")
    assert "unfounded" in page.inner_text("dl.facts")


def test_a_request_that_no_executor_carries_out_is_recorded_as_done(world: World, desk: Callable[[str], Desk]) -> None:
    """A correction made elsewhere ends with the officer's word and reference."""
    here, request_id = desk("olga"), world.ask("correct", 6)
    path = f"/console/requests/{request_id}"
    for name, fields in (
        ("prove", {"reference": "passport-18"}),
        ("approve", {}),
        ("done", {"complete": "yes", "reference": "crm-4711"}),
    ):
        assert here.post(f"{path}/{name}", version=version(here, path), **fields).status_code == 303, name
    assert "fulfilled" in here.get(path).text
    assert "crm-4711" in here.get(path).text


def version(here: Desk, path: str) -> str:
    """The version that the request's page was shown for."""
    found = re.search(r'name="version" value="(\d+)"', here.get(path).text)
    assert found
    return found[1]


def test_of_two_officers_at_once_the_second_is_told(world: World, desk: Callable[[str], Desk]) -> None:
    """Both look, one acts, the other's form does nothing and shows how the request stands now."""
    path = f"/console/requests/{world.ask('delete', 7)}"
    first, second = desk("olga"), desk("both")
    seen_first, seen_second = version(first, path), version(second, path)
    assert first.post(f"{path}/prove", version=seen_first, reference="passport-19").status_code == 303
    late = second.post(f"{path}/deny", version=seen_second, ground="unfounded")
    assert late.status_code == 409
    assert "somebody else changed this request while you were looking at it" in late.text
    assert "in progress" in late.text
    assert "denied" not in late.text
    again = second.post(f"{path}/hold", version=version(second, path), ground="internal")
    assert again.status_code == 303


def test_a_step_the_state_does_not_allow_is_a_conflict_and_no_form(world: World, desk: Callable[[str], Desk]) -> None:
    """A form that is made up for a later state changes nothing."""
    here, path = desk("olga"), f"/console/requests/{world.ask('access', 8)}"
    page = here.get(path).text
    assert 'id="execute"' not in page
    answer = here.post(f"{path}/execute", version=version(here, path))
    assert answer.status_code == 409
    assert "identity is not proved" in answer.text or "cannot be changed" in answer.text
    assert here.post(f"{path}/deny", version=version(here, path), ground="because").status_code == 400


def test_a_release_without_approval_releases_nothing(world: World, desk: Callable[[str], Desk]) -> None:
    """Neither the officer's form nor another role's gets a package out before its time."""
    path = f"/console/requests/{world.requests['late']}"
    here = desk("olga")
    assert here.post(f"{path}/release", version=version(here, path)).status_code == 409
    assert desk("aziz").post(f"{path}/release", version="1").status_code == 403


@settings(max_examples=200)
@given(
    st.builds(
        Standing,
        state=st.sampled_from(State),
        proved=st.booleans(),
        begun=st.booleans(),
        extended=st.booleans(),
        approved=st.booleans(),
        running=st.booleans(),
        pauses=st.just(()) | st.dates().map(lambda day: (Pause(day),)),
    ),
    st.sampled_from([Act.EXTEND, Act.HOLD, Act.APPROVE, Act.BEGIN, Act.RESUME, Act.START, Act.DENY, Act.CANCEL]),
    st.dates(),
)
def test_a_form_is_shown_exactly_where_the_step_may_be_taken(standing: Standing, act: Act, day: Any) -> None:
    """Over every standing: what the page offers is what the table of states takes."""

    class Found:
        def __init__(self) -> None:
            self.standing = standing

    ground = {Act.DENY: DenialGround.EXCESSIVE.value, Act.HOLD: HoldGround.LEGAL_HOLD.value}.get(act)
    try:
        step(standing, act, day, ground)
        taken = True
    except Conflict:
        taken = False
    assert _allowed(Found(), act, day) is taken  # type: ignore[arg-type]
