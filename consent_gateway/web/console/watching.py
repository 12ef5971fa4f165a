"""The pages that tell how things stand: overview, recipients, keys, settings; revives what was given up."""

from flask import Response

from consent_gateway.callers.transactions import reading
from consent_gateway.console.deliveries import deliveries
from consent_gateway.console.overview import BUCKETS
from consent_gateway.console.permissions import Doing
from consent_gateway.errors import NotFound
from consent_gateway.settings import VARIABLES
from consent_gateway.web.charts import bars, columns
from consent_gateway.web.console.routes import PageCall, page
from consent_gateway.web.console.showing import HOME, see_other

RECIPIENTS = f"{HOME}/recipients"
_MOST_LETTERS = 200
_MOST_NOTICES = 200


@page("GET", HOME, Doing.SEE_OVERVIEW)
def overview(call: PageCall) -> Response:
    """What is due, what people withdrew, what was denied and why, how the log stands; reads kept counts alone."""
    told = call.console.overviews.read()
    days = [(day.strftime("%d %b"), number) for day, number in told.withdrawals]
    denials = [(reason, number) for reason, number in told.denials]
    return call.show(
        "overview",
        told=told,
        buckets=[name for name, _last in BUCKETS],
        due_chart=bars("due", [(_DUE[name], told.due[name]) for name, _last in BUCKETS]),
        withdrawal_chart=columns("withdrawals", days),
        denial_chart=bars("denials", denials),
        due_words=_DUE,
    )


_DUE = {
    "overdue": "Overdue",
    "today": "Due today",
    "1_3": "1 to 3 days left",
    "4_7": "4 to 7 days left",
    "8_14": "8 to 14 days left",
    "later": "More than 14 days left",
}


@page("GET", RECIPIENTS, Doing.SEE_RECIPIENTS)
def recipients(call: PageCall) -> Response:
    """Who may receive data, who must still erase or correct, which places hear of changes and how far each is."""
    destinations, notices = call.services.outward.destinations, call.services.rights.notices
    with reading(call.console.engine) as connection:
        told = deliveries(connection)
    return call.show(
        "recipients",
        recipients=sorted(call.services.policies.recipients.values(), key=lambda each: each.key),
        deliveries=told,
        letters=destinations.dead()[:_MOST_LETTERS],
        unconfirmed=[] if notices is None else notices.unconfirmed(_MOST_NOTICES),
        done=call.request.args.get("done", ""),
    )


@page("POST", f"{RECIPIENTS}/{{item}}/revive", Doing.ACT_ON_DELIVERIES)
def revive(call: PageCall) -> Response:
    """Try a destination's dead letters again."""
    destination = call.services.outward.destinations.living(call.item)
    if destination is None:
        raise NotFound("no destination has this id")
    revived = call.services.outward.destinations.revive(destination)
    return see_other(RECIPIENTS, {"done": str(revived)})


@page("GET", f"{HOME}/keys", Doing.SEE_KEYS)
def keys(call: PageCall) -> Response:
    """Which keys there are, their ages, and the algorithms; no key is shown, for none is read."""
    return call.show("keys", keys=call.console.keys())


@page("GET", f"{HOME}/settings", Doing.SEE_SETTINGS)
def settings(call: PageCall) -> Response:
    """Every setting as it is; of a secret only that it is set."""
    return call.show("settings", variables=VARIABLES, settings=call.console.settings)


PAGES = (overview, recipients, revive, keys, settings)
