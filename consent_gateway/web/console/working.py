"""The forms by which officers work on a request: each names the version it was shown for; which step may be taken is
decided in `rights`, never here.
"""

from collections.abc import Callable

from flask import Response

from consent_gateway.console.permissions import Doing
from consent_gateway.errors import (
    Conflict,
    FieldFault,
    GatewayError,
    InputRefused,
    KeysUnavailable,
    NotFound,
    ProofRefused,
    StoreUnavailable,
    Suppressed,
)
from consent_gateway.rights.execution import Outcome
from consent_gateway.rights.handling import ExtensionReason
from consent_gateway.rights.recipients import RecipientNotices
from consent_gateway.rights.requests import By
from consent_gateway.rights.states import DenialGround, HoldGround
from consent_gateway.web.console.guard import one
from consent_gateway.web.console.requests import REQUESTS, handing_of, show_request
from consent_gateway.web.console.routes import Page, PageCall, page
from consent_gateway.web.console.showing import see_other
from consent_gateway.web.problems import kind_of

_SHOWN = (Conflict, InputRefused, ProofRefused, StoreUnavailable, KeysUnavailable, Suppressed)
"""What keeps a step from being taken and is told on the request's own page."""


def _form(name: str, act: Callable[[PageCall], None], *, auth: Doing = Doing.WORK_REQUESTS) -> Page:
    """A form of a request: done once, for the version that was shown, and then back to the request."""

    @page("POST", f"{REQUESTS}/{{item}}/{name}", auth)
    def taken(call: PageCall) -> Response:
        try:
            _refuse_stale(call)
            act(call)
        except _SHOWN as error:
            return show_request(call, status=_status(error), conflict=error.message)
        return see_other(f"{REQUESTS}/{call.item}", {"done": name})

    return taken


def _refuse_stale(call: PageCall) -> None:
    """Raise `Conflict` where somebody changed the request since the form was shown.

    Two forms of the same moment are told apart by the request's own lock and states: the second step is not allowed.
    """
    shown = one(dict(call.fields), "version")
    if shown != str(call.services.rights.handling.read(call.item).version):
        raise Conflict(
            "somebody else changed this request while you were looking at it, so nothing was done: "
            "this is how it stands now"
        )


def _status(error: GatewayError) -> int:
    return kind_of(error).status


def by_of(call: PageCall) -> By:
    """The officer, and the channel that officers work in."""
    return By(officer=call.officer.officer_id, channel=call.services.rights.channel)


def _chosen(call: PageCall, name: str) -> str:
    return one(dict(call.fields), name)


def _word(call: PageCall, name: str, words: type) -> str:
    word = _chosen(call, name)
    if word not in set(words):  # type: ignore[call-overload]
        raise InputRefused("choose one of the list", (FieldFault(f"/{name}", "choose one"),))
    return word


def _acknowledge(call: PageCall) -> None:
    call.services.rights.handling.acknowledge(call.item, by_of(call))


def _send_code(call: PageCall) -> None:
    call.services.rights.proofs.send_code(call.item, by_of(call))


def _prove(call: PageCall) -> None:
    person = one(dict(call.fields), "data_subject", longest=32, needed=False) or None
    proofs = call.services.rights.proofs
    proofs.close_reads(proofs.by_officer(call.item, _chosen(call, "reference"), person, by_of(call)))


def _extend(call: PageCall) -> None:
    reason = ExtensionReason(_word(call, "reason", ExtensionReason))
    call.services.rights.handling.extend(call.item, reason, by_of(call))


def _hold(call: PageCall) -> None:
    call.services.rights.handling.hold(call.item, HoldGround(_word(call, "ground", HoldGround)), by_of(call))


def _approve(call: PageCall) -> None:
    call.services.rights.handling.approve(call.item, by_of(call))


def _deny(call: PageCall) -> None:
    call.services.rights.handling.deny(call.item, DenialGround(_word(call, "ground", DenialGround)), by_of(call))


def _cancel(call: PageCall) -> None:
    call.services.rights.handling.cancel(call.item, by_of(call))


def _execute(call: PageCall) -> None:
    waived = call.fields.get("waived") == ["yes"]
    call.services.rights.handling.execute(call.item, by_of(call), waived=waived)


def _done(call: PageCall) -> None:
    complete = _chosen(call, "complete")
    if complete not in ("yes", "no"):
        raise InputRefused("say whether it was done whole", (FieldFault("/complete", "choose one"),))
    outcome = Outcome(complete == "yes", one(dict(call.fields), "reference", longest=128, needed=False) or None)
    call.services.rights.handling.execute(call.item, by_of(call), outcome)


def _release(call: PageCall) -> None:
    # The secret of the link is not shown: the person makes their own on their page, signed in.
    handing_of(call).release(call.item, by_of(call), tuple(call.fields.get("blank", ())))


def _of_notice(change: Callable[[RecipientNotices, str, str], object]) -> Callable[[PageCall], None]:
    def act(call: PageCall) -> None:
        notices = call.services.rights.notices
        if notices is None:
            raise NotFound("no recipients are told here")
        change(notices, _chosen(call, "notice"), call.officer.officer_id)

    return act


PAGES = (
    _form("acknowledge", _acknowledge),
    _form("send-code", _send_code),
    _form("prove", _prove),
    _form("extend", _extend),
    _form("hold", _hold),
    _form("approve", _approve),
    _form("deny", _deny),
    _form("cancel", _cancel),
    _form("execute", _execute),
    _form("done", _done),
    _form("release", _release, auth=Doing.REVIEW_PACKAGE),
    _form("recipient-confirmed", _of_notice(lambda notices, which, by: notices.confirm(which, by=by))),
    _form("recipient-told", _of_notice(lambda notices, which, by: notices.told(which, by=by))),
    _form("recipient-resend", _of_notice(lambda notices, which, by: notices.resend(which, by=by))),
)
