"""Notices to recipients, as officers see them: who has confirmed, told by hand, again by mail; writes none itself."""

from flask import Response

from consent_gateway.console.permissions import Doing
from consent_gateway.errors import Conflict, KeysUnavailable, NotFound
from consent_gateway.rights.recipients import RecipientNotices, notice_document
from consent_gateway.web import rights_schemas as schemas
from consent_gateway.web.operations import Answer, Call, OfficerAuth, json_answer, operation

_OFFICER = OfficerAuth(Doing.WORK_REQUESTS)
_NOTICE = Answer(200, "The notice as it stands now.", schemas.RecipientNoticeSchema)
_NOTICES = Answer(200, "The notices.", schemas.RecipientNoticesSchema)


@operation(
    "GET",
    "/v1/recipient-notices",
    auth=_OFFICER,
    answers=(_NOTICES,),
)
def read_unconfirmed(call: Call) -> Response:
    """List the recipients that have not confirmed yet, the oldest notice first."""
    return json_answer({"notices": [notice_document(one) for one in _notices(call).unconfirmed()]})


@operation(
    "GET",
    "/v1/rights-requests/{request_id}/recipients",
    auth=_OFFICER,
    answers=(_NOTICES,),
    raises=(KeysUnavailable,),
)
def read_recipients(call: Call) -> Response:
    """List who was told of what a request did, what each calls the person, and who confirmed (GDPR Art. 19).

    One in `to_tell` has no mail address in `recipients.yaml`: tell it by hand, and say so by `told`.
    """
    found = _notices(call).of_request(call.path["request_id"])
    return json_answer({"notices": [notice_document(one) for one in found]})


@operation(
    "POST",
    "/v1/recipient-notices/{notice_id}/confirmed",
    auth=_OFFICER,
    answers=(_NOTICE,),
    raises=(NotFound, KeysUnavailable),
)
def confirm_notice(call: Call) -> Response:
    """Record that a recipient has confirmed that it did its part; said once, it stays so."""
    return json_answer(notice_document(_notices(call).confirm(call.path["notice_id"], by=call.officer.officer_id)))


@operation(
    "POST",
    "/v1/recipient-notices/{notice_id}/told",
    auth=_OFFICER,
    answers=(_NOTICE,),
    raises=(NotFound, Conflict, KeysUnavailable),
)
def notice_told(call: Call) -> Response:
    """Record that a recipient was told by hand."""
    return json_answer(notice_document(_notices(call).told(call.path["notice_id"], by=call.officer.officer_id)))


@operation(
    "POST",
    "/v1/recipient-notices/{notice_id}/resend",
    auth=_OFFICER,
    answers=(_NOTICE,),
    raises=(NotFound, Conflict, KeysUnavailable),
)
def resend_notice(call: Call) -> Response:
    """Mail a notice that failed, or whose recipient has an address only now."""
    return json_answer(notice_document(_notices(call).resend(call.path["notice_id"], by=call.officer.officer_id)))


def _notices(call: Call) -> RecipientNotices:
    notices = call.services.rights.notices
    if notices is None:
        raise NotFound("no recipients are told here")
    return notices


OPERATIONS = (read_unconfirmed, read_recipients, confirm_notice, notice_told, resend_notice)
