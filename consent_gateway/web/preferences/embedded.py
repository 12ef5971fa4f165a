"""One question in a page of a channel: shown in its frame, answered once, then told as saved; judges no answer.

No cookie and no session: the sealed token says who is asked. The pages that may frame it are named in the settings and,
more narrowly, in the token; every other answer of the gateway may be framed by nobody.
"""

from flask import Response

from consent_gateway.errors import FormRefused, GatewayError
from consent_gateway.preferences.answers import Mark
from consent_gateway.web.customer.browser import FORM_BYTES, refuse_foreign_site
from consent_gateway.web.operations import Public
from consent_gateway.web.preferences.routes import PageCall, page
from consent_gateway.web.preferences.showing import IS_ID, see_other, show
from consent_gateway.web.problems import kind_of
from consent_gateway.web.security import let_frame

FORM = "/consent-form"
_TOKEN = Public("a sealed token says who is asked what, by whom, until when")


@page("GET", FORM, auth=_TOKEN)
def form(call: PageCall) -> Response:
    """Show the question; nothing is recorded and nothing used up, however often it is opened."""
    return _asked(call, call.request.args.get("t", ""), once_more=False)


@page("POST", FORM, auth=_TOKEN)
def answer(call: PageCall) -> Response:
    """Record the answer: yes and no are one field of one form."""
    request = call.request
    request.max_content_length = FORM_BYTES
    let_frame(request.environ, call.centre.forms.origins)
    try:
        refuse_foreign_site(request, call.issuer)
        token, marks = request.form.get("t", ""), request.form.getlist("answer")
        if len(marks) != 1 or marks[0] not in set(Mark):
            raise FormRefused("the form says neither yes nor no")
        confirmed = request.form.get("confirmed") == "yes"
        call.centre.forms.hear(token, gpc=call.gpc)
        answered = call.centre.forms.answer(token, Mark(marks[0]), confirmed=confirmed)
    except GatewayError as error:
        return _refused(call, error)
    if answered is None:
        return _asked(call, token, once_more=True)
    told = {"by": "mail"} if answered.by_mail else {"receipt": answered.event_id}
    return see_other(call.words, f"{FORM}/saved", **told)


@page("GET", f"{FORM}/saved", auth=Public("it tells what the visitor just did, and nothing of anyone"))
def saved(call: PageCall) -> Response:
    """Say that the answer is saved, with its receipt's number, or that a mail is on its way by which it counts."""
    let_frame(call.request.environ, call.centre.forms.origins)
    receipt = call.request.args.get("receipt", "")
    by_mail = call.request.args.get("by") == "mail"
    return show(call.centre, call.words, "form_saved", receipt=receipt if IS_ID(receipt) else None, by_mail=by_mail)


def _asked(call: PageCall, token: str, *, once_more: bool) -> Response:
    let_frame(call.request.environ, call.centre.forms.origins)
    try:
        found, notice = call.centre.forms.open(token)
    except GatewayError as error:
        return _refused(call, error)
    let_frame(call.request.environ, () if found.origin is None else (found.origin,))
    words = call.centre.words[found.language]
    return show(call.centre, words, "form", purpose=found.purpose, notice=notice, token=token, once_more=once_more)


def _refused(call: PageCall, error: GatewayError) -> Response:
    """Why not, in words that tell nothing of anyone: whatever the cause, the same."""
    status = kind_of(error).status
    what = ("refused", "why") if status == 404 else ("failed", "retry")
    return show(call.centre, call.words, "form_refused", status=status, what=what)


PAGES = (form, answer, saved)
