"""Links by which a person unsubscribes from one purpose, made for the channel that writes to them; mails nothing."""

from flask import Response

from consent_gateway.callers.registry import Scope
from consent_gateway.customers.links import NewUnsubscribeLink
from consent_gateway.errors import CallerNotPermitted, FieldFault, NotFound, UnknownPurpose
from consent_gateway.web import link_schemas as schemas
from consent_gateway.web.customer.unsubscribing import ONE_CLICK, UNSUBSCRIBE_PATH
from consent_gateway.web.operations import Answer, Call, json_answer, operation


@operation(
    "POST",
    "/v1/unsubscribe-links",
    auth=Scope.CONSENTS_WRITE,
    body=schemas.NewLinkSchema,
    answers=(Answer(201, "A fresh link, shown once.", schemas.LinkSchema),),
    raises=(UnknownPurpose, NotFound),
    example={"data_subject": "ds_01jd80000000000000000000ad", "purpose": "order_fulfilment"},
)
def make_unsubscribe_link(call: Call) -> Response:
    """Make a link by which a person unsubscribes from one purpose, without signing in.

    Put it into the message and send the two `headers` with it (RFC 8058). It is good for as long as `expires_at`
    says, works any number of times, and nothing but this restriction can be done by it.
    """
    purpose = call.body["purpose"]
    if purpose not in call.services.choices.purposes:
        fault = FieldFault("/purpose", "unknown purpose")
        raise UnknownPurpose("the purpose is not one of the policy's purposes", (fault,))
    if purpose not in call.caller.purposes:
        raise CallerNotPermitted("the client is not registered for this purpose: ask the operator to register it")
    new = NewUnsubscribeLink(call.body["data_subject"], purpose, call.caller.channel, call.caller.client_id)
    issued = call.services.customers.unsubscribe_links.make(new)
    url = f"{call.services.issuer}{UNSUBSCRIBE_PATH}?t={issued.token}"
    answer = {
        "link_id": issued.link_id,
        "url": url,
        "headers": {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "=".join(ONE_CLICK)},
        "expires_at": issued.expires_at,
    }
    return json_answer(answer, 201)


@operation(
    "DELETE",
    "/v1/unsubscribe-links/{link_id}",
    auth=Scope.CONSENTS_WRITE,
    answers=(Answer(204, "The link is over.", None),),
    raises=(NotFound,),
)
def revoke_unsubscribe_link(call: Call) -> Response:
    """End an unsubscribe link that this client asked for, as when a message was never sent."""
    call.services.customers.unsubscribe_links.revoke(call.path["link_id"], call.caller.client_id)
    return Response(status=204)


OPERATIONS = (make_unsubscribe_link, revoke_unsubscribe_link)
