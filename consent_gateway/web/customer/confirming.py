"""Pages that mailed links open: to confirm a choice, to allow a child's, to take that back; asks nobody who they are.

Whoever has the mailbox answers, in any browser. GET shows the text and one button and changes nothing, so a scanner
that opens the link uses nothing up; POST counts only from our own page, with the hash of the text that stood there.
"""

from flask import Response, render_template

from consent_gateway.customers.confirmations import Part
from consent_gateway.customers.confirming import CONFIRM_PATH, REVOKE_PATH, Page
from consent_gateway.customers.mail import language_of
from consent_gateway.errors import Conflict, ConsentNotRaised, NotFound, Suppressed
from consent_gateway.web.customer.forms import AnswerFormSchema, LinkFormSchema
from consent_gateway.web.operations import HTML, Answer, Call, Visitor, operation

_LINK = Visitor("256 random bits, mailed, say whose choice it is; only our own page's form answers")
_PAGE = (Answer(200, "A page.", content_type=HTML),)


@operation("GET", CONFIRM_PATH, auth=_LINK, answers=_PAGE, raises=(NotFound,))
def confirm_page(call: Call) -> Response:
    """Show what a link asks, word for word, with one button; nothing is changed."""
    token = call.request.args.get("t", "")
    return _page(call, "confirm.html", call.services.choosing.confirming.look(token), token=token, target=CONFIRM_PATH)


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
    return _page(call, "confirmed.html", call.services.choosing.confirming.confirm(call.body["t"], call.body["shown"]))


@operation("GET", REVOKE_PATH, auth=_LINK, answers=_PAGE, raises=(NotFound,))
def take_back_page(call: Call) -> Response:
    """Show a parent what they allowed, with one button to take it back; nothing is changed."""
    token = call.request.args.get("t", "")
    return _page(call, "take_back.html", call.services.choosing.confirming.look_back(token), token=token)


@operation("POST", REVOKE_PATH, auth=_LINK, form=LinkFormSchema, answers=_PAGE, raises=(NotFound,))
def take_back(call: Call) -> Response:
    """Take a parent's permission back; again changes nothing."""
    return _page(call, "taken_back.html", call.services.choosing.confirming.revoke(call.body["t"]))


def _page(call: Call, template: str, page: Page, **values: object) -> Response:
    language = language_of([page.confirmation.asked.language])
    text = render_template(
        f"customer/{template}",
        form_token=call.visit.form_token,
        name=call.services.customers.name,
        language=language,
        words=call.services.choosing.page_words[language],
        parent=page.confirmation.asked.part is Part.PARENT,
        page=page,
        **values,
    )
    return Response(text, content_type=f"{HTML}; charset=utf-8")


OPERATIONS = (confirm_page, confirm, take_back_page, take_back)
