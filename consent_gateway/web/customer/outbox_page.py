"""The demo's outbox as a page: what customers were mailed; it exists where mail goes to an outbox, and nowhere else."""

from flask import Response

from consent_gateway.errors import NotFound
from consent_gateway.web.customer.sign_in import page
from consent_gateway.web.operations import HTML, Answer, Call, Visitor, operation


@operation(
    "GET",
    "/demo/outbox",
    auth=Visitor("a demo on loopback, where invented people get invented mail"),
    answers=(Answer(200, "A page.", content_type=HTML),),
    raises=(NotFound,),
)
def demo_outbox(call: Call) -> Response:
    """Read the mails of the demo, newest first."""
    outbox = call.services.customers.outbox
    if outbox is None:
        raise NotFound("mail does not go to an outbox here")
    return page(call, "outbox", mails=outbox.newest())


OPERATIONS = (demo_outbox,)
