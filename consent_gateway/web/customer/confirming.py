"""Pages that mailed links open: to confirm a choice, to allow a child's, to take that back; asks nobody who they are.

Whoever has the mailbox answers, in any browser. GET shows the text and one button and changes nothing, so a scanner
that opens the link uses nothing up; POST counts only from our own page, with the hash of the text that stood there.
"""

from typing import Any

from flask import Response

from consent_gateway.consent.signals import Told
from consent_gateway.customers.confirmations import Part
from consent_gateway.customers.confirming import CONFIRM_PATH, REVOKE_PATH, Page
from consent_gateway.customers.mail import language_of
from consent_gateway.errors import Conflict, ConsentNotRaised, NotFound, Suppressed
from consent_gateway.people.directory import PersonRef
from consent_gateway.vocabulary import Caller
from consent_gateway.web.customer.forms import AnswerFormSchema, LinkFormSchema
from consent_gateway.web.operations import HTML, Answer, Call, Visitor, operation
from consent_gateway.web.preferences.showing import asked_language, show

_LINK = Visitor("256 random bits, mailed, say whose choice it is; only our own page's form answers")
_PAGE = (Answer(200, "A page.", content_type=HTML),)


@operation("GET", CONFIRM_PATH, auth=_LINK, answers=_PAGE, raises=(NotFound,))
def confirm_page(call: Call) -> Response:
    """Show what a link asks, word for word, with one button; nothing is changed."""
    token = call.request.args.get("t", "")
    page = call.services.choosing.confirming.look(token)
    _heed_signal(call, page)
    return _page(call, "confirm", page, token=token, target=CONFIRM_PATH)


@operation(
    "POST",
    CONFIRM_PATH,
    auth=_LINK,
    form=AnswerFormSchema,
    answers=_PAGE,
    raises=(NotFound, Conflict, ConsentNotRaised, Suppressed),
)
def confirm(call: Call) -> Response:
    """Record the yes that the link asks for: once, in time, to the text that was shown."""
    confirming, token = call.services.choosing.confirming, call.body["t"]
    if call.gpc:
        _heed_signal(call, confirming.look(token))
    return _page(call, "confirmed", confirming.confirm(token, call.body["shown"]))


@operation("GET", REVOKE_PATH, auth=_LINK, answers=_PAGE, raises=(NotFound,))
def take_back_page(call: Call) -> Response:
    """Show a parent what they allowed, with one button to take it back; nothing is changed."""
    token = call.request.args.get("t", "")
    return _page(call, "take_back", call.services.choosing.confirming.look_back(token), token=token)


@operation("POST", REVOKE_PATH, auth=_LINK, form=LinkFormSchema, answers=_PAGE, raises=(NotFound,))
def take_back(call: Call) -> Response:
    """Take a parent's permission back; again changes nothing."""
    return _page(call, "taken_back", call.services.choosing.confirming.revoke(call.body["t"]))


def _heed_signal(call: Call, page: Page) -> None:
    """Let the signal of the person's own browser bind them (11 CCR 7025); a parent's speaks for the parent alone."""
    asked = page.confirmation.asked
    if call.gpc and asked.part is Part.OWN:
        caller = Caller(asked.client_id, asked.channel, frozenset(), frozenset(), frozenset())
        call.services.hearing.hear(caller, (PersonRef(data_subject=asked.data_subject),), Told(gpc=True))


def _page(call: Call, template: str, page: Page, token: str = "", **values: Any) -> Response:
    centre, asked_in = call.services.preferences, language_of([page.confirmation.asked.language])
    words = centre.words[asked_language(call.request, centre.words) or asked_in]
    return show(
        centre,
        words,
        f"customer/{template}",
        kept={"t": token} if token else {},
        form_token=call.visit.form_token,
        said=call.services.choosing.page_words[words.language],
        parent=page.confirmation.asked.part is Part.PARENT,
        page=page,
        asked_in=asked_in,
        token=token,
        **values,
    )


OPERATIONS = (confirm_page, confirm, take_back_page, take_back)
