"""Recipients on a request's page: who was told and how, confirmed by a button without any script, read by auditors."""

from collections.abc import Callable

from tests.console.conftest import Desk, Open
from tests.console.world import World


def test_an_officer_follows_recipients_up_to_their_confirmation(world: World, opened: Open) -> None:
    """The one without an address is told by hand, then confirms; an auditor sees it all and has no button."""
    request_id = world.ask("correct", 7)
    world.tell_recipients(request_id, 7)
    page = opened("olga", scripts=False)
    page.goto(f"/console/requests/{request_id}")
    table = page.get_by_role("region", name="Recipients that must act too")
    for told in ("courier", "print_shop", "street, city", "queued", "to tell", "ps1."):
        assert told in table.inner_text()
    page.get_by_role("button", name="It was told by hand: print_shop").click()
    page.get_by_role("button", name="It confirmed: print_shop").click()
    assert page.get_by_role("button", name="It confirmed: print_shop").count() == 0
    notices = world.services.rights.notices
    assert notices is not None
    confirmed = {one.recipient: one.confirmed_at is not None for one in notices.of_request(request_id)}
    assert confirmed == {"courier": False, "print_shop": True}
    auditor = opened("aziz")
    auditor.goto(f"/console/requests/{request_id}")
    assert "courier" in auditor.get_by_role("region", name="Recipients that must act too").inner_text()
    assert auditor.get_by_role("button", name="It confirmed: courier").count() == 0
    auditor.goto("/console/recipients")
    waited = auditor.get_by_role("region", name="Who must still erase or correct")
    of_this = waited.get_by_role("row").filter(has_text=request_id)
    assert [row.inner_text().split()[0] for row in of_this.all()] == ["courier"]
    of_this.get_by_role("link").click()
    assert auditor.url.endswith(request_id)


def test_closed_requests_are_still_found(world: World, desk: Callable[[str], Desk]) -> None:
    """A request that ended leaves the queue and stands under `closed`; an open one does not."""
    ended, here = world.ask("access", 8), desk("olga")
    version = world.services.rights.handling.read(ended).version
    assert here.post(f"/console/requests/{ended}/cancel", version=str(version)).status_code == 303
    closed, queue = here.get("/console/requests?due=closed").text, here.get("/console/requests").text
    assert (ended in closed, ended in queue) == (True, False)
    assert (world.requests["soon"] in closed, world.requests["soon"] in queue) == (False, True)
