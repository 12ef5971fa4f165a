"""Who may do what: every page and form with every role; the sign-in demanded, forms of other pages refused."""

import itertools
import re
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from consent_gateway.audit.log import ANY, EntryFilter
from consent_gateway.console.permissions import PERMITTED, Doing, may
from consent_gateway.officers.registry import Role
from consent_gateway.web.console.pages import PAGES
from consent_gateway.web.operations import Public
from tests.console.conftest import Desk
from tests.console.world import World

ID = "rq_01jd80000000000000000000ad"
PUBLIC = {
    "GET /console/sign-in",
    "POST /console/sign-in/passkey",
    "GET /console/sign-in/provider",
    "GET /console/sign-in/callback",
    "GET /console/enrol",
    "POST /console/enrol",
    "POST /console/enrol/passkey",
    "GET /console/style.css",
    "GET /console/passkey.js",
    "GET /console/icon.svg",
}
GUARDED = [page for page in PAGES if not isinstance(page.auth, Public)]
EXPECTED = {
    Role.OFFICER: "see_overview see_decisions see_requests work_requests review_package see_people see_policies"
    " see_recipients see_reports run_reports leave",
    Role.AUDITOR: "see_overview see_decisions see_requests see_people see_policies see_log export_log see_recipients"
    " see_keys see_reports run_reports leave",
    Role.OPERATOR: "see_overview see_policies see_recipients act_on_deliveries see_keys see_settings leave",
    Role.POLICY_EDITOR: "see_overview see_policies leave",
    Role.REIDENTIFY: "see_overview see_people ask_reidentification decide_reidentification leave",
    Role.APPROVE_REIDENTIFICATION: "see_overview see_people decide_reidentification leave",
}
"""The table once more, by role, so that a change of it is a change of two files."""


def test_the_table_is_whole_and_says_what_is_expected() -> None:
    """Every act is in the table and on a page, every page names an act, and each role has exactly these."""
    assert set(PERMITTED) == set(Doing)
    assert {page.auth for page in GUARDED} == set(Doing)
    told = {role: {doing.value for doing in Doing if may(frozenset({role}), doing)} for role in Role}
    assert told == {role: set(words.split()) for role, words in EXPECTED.items()}


def test_roles_add_up_and_none_takes_away() -> None:
    """What two roles may together is what either may: over every pair and every act."""
    for one, other in itertools.product(Role, Role):
        for doing in Doing:
            both = may(frozenset({one, other}), doing)
            assert both == (may(frozenset({one}), doing) or may(frozenset({other}), doing))
    assert not any(may(frozenset(), doing) for doing in Doing)


def test_public_pages_are_those_listed_here() -> None:
    """A page without a session is one of this list and says why."""
    public = {f"{page.method} {page.path}" for page in PAGES if isinstance(page.auth, Public)}
    assert public == PUBLIC
    assert all(page.auth.why for page in PAGES if isinstance(page.auth, Public))


@pytest.mark.parametrize("role", Role)
def test_every_page_with_every_role(world: World, role: Role) -> None:
    """A page whose act the role has is never forbidden; every other gives 403, carries nothing out and is one entry."""
    name = f"only_{role.value}"
    if name not in world.officers:
        world.officers[name] = world.services.desk.officers.add(name, [role])[0].officer_id
    desk = Desk(world, name)
    refused = 0
    for page in sorted(GUARDED, key=lambda one: one.auth is Doing.LEAVE):  # signing out comes last
        path = page.path.replace("{item}", ID)
        answer = desk.get(path) if page.method == "GET" else desk.post(path)
        assert isinstance(page.auth, Doing)
        if may(frozenset({role}), page.auth):
            assert answer.status_code != 403, page.path
        else:
            assert answer.status_code == 403, page.path
            assert "needs the role" in answer.text
            refused += 1
    world.settle()
    kept = world.services.evidence.log.entries(EntryFilter(kind="officer"), limit=1000)
    entries = [one.entry for one in kept]
    own = [one for one in entries if one["detail"]["officer"] == world.officers[name] and one["action"] == "refused"]
    assert len(own) == refused


def test_without_a_session_every_page_leads_to_the_sign_in(world: World) -> None:
    """A stranger sees nothing of any page, and no form of theirs does anything."""
    http = world.app.test_client()
    before = len(world.services.evidence.log.entries(ANY, limit=10_000))
    for page in GUARDED:
        answer = http.open(page.path.replace("{item}", ID), method=page.method)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/console/sign-in"), page.path
        assert len(answer.text) < 300
    world.settle()
    assert len(world.services.evidence.log.entries(ANY, limit=10_000)) == before


FORMS = [page for page in GUARDED if page.method == "POST"]


@pytest.mark.parametrize(
    "different",
    [
        {"site": "cross-site", "origin": "https://evil.example"},
        {"site": "same-site"},
        {"origin": "https://evil.example"},
        {"form_token": "x" * 64},
    ],
    ids=["foreign site", "neighbour", "foreign origin", "another's token"],
)
def test_a_form_of_another_page_or_session_does_nothing(world: World, different: dict[str, str]) -> None:
    """Each form is taken from our own page alone, shown to this very session."""
    desk = Desk(world, "every")
    for page in FORMS:
        answer = desk.post(page.path.replace("{item}", world.requests["correct"]), version="1", **different)
        assert answer.status_code == 403, page.path
    assert world.services.console.sessions.resolve(desk.token) is not None


def test_a_role_taken_away_binds_at_the_next_page(world: World) -> None:
    """The session asks anew at every request: a revoked officer is out at once."""
    officer, _code = world.services.desk.officers.add("gone", [Role.AUDITOR])
    world.officers["gone"] = officer.officer_id
    desk = Desk(world, "gone")
    assert desk.get("/console/log").status_code == 200
    with world.services.engine.begin() as connection:
        connection.execute(sa.text("UPDATE officers SET roles = '[\"operator\"]' WHERE name = 'gone'"))
    assert desk.get("/console/log").status_code == 403
    world.services.desk.officers.revoke("gone")
    assert desk.get("/console").status_code == 303


def test_navigation_shows_what_one_may_open(desk: Callable[[str], Desk]) -> None:
    """Each officer sees links to exactly the pages that answer them, and every one of these answers."""
    for name, absent in (("olga", "settings"), ("aziz", "settings"), ("opal", "requests"), ("edda", "log")):
        here = desk(name)
        page = here.get("/console").text
        links = set(re.findall(r'<li><a href="(/console[^"?]*)"', page))
        assert f"/console/{absent}" not in links
        for link in links:
            assert here.get(link).status_code == 200, (name, link)


def test_an_auditor_sees_no_way_to_turn_pseudonyms_back(desk: Callable[[str], Desk]) -> None:
    """Neither officer nor auditor is shown the form, and policies have no form that changes them."""
    for name in ("olga", "aziz"):
        assert "/console/reidentifications" not in desk(name).get("/console/people").text
    forms = re.findall(r'<form method="post" action="([^"]+)"', desk("edda").get("/console/policies").text)
    assert forms == ["/console/sign-out"]
