"""Letters about requests, as officers see them: what was written, how far it is, again, posted; writes none itself."""

from flask import Response

from consent_gateway.console.permissions import Doing
from consent_gateway.errors import Conflict, NotFound
from consent_gateway.rights.letter_desk import LetterDesk, letter_document
from consent_gateway.web import rights_schemas as schemas
from consent_gateway.web.api.rights import by_of
from consent_gateway.web.operations import Answer, Call, OfficerAuth, json_answer, operation

_OFFICER = OfficerAuth(Doing.WORK_REQUESTS)
_LETTER = Answer(200, "The letter as it stands now.", schemas.LetterSchema)


@operation(
    "GET",
    "/v1/rights-requests/{request_id}/letters",
    auth=_OFFICER,
    answers=(Answer(200, "The letters.", schemas.LettersSchema),),
    raises=(NotFound,),
)
def read_letters(call: Call) -> Response:
    """List what was written to the person about a request, and how far each letter is.

    One in `to_post` has no mail address: print its `text`, post it, and say so by `posted`.
    """
    found = _desk(call).of_request(call.path["request_id"])
    return json_answer({"letters": [letter_document(one) for one in found]})


@operation(
    "POST",
    "/v1/rights-letters/{letter_id}/resend",
    auth=_OFFICER,
    answers=(_LETTER,),
    raises=(NotFound, Conflict),
)
def resend_letter(call: Call) -> Response:
    """Mail a letter that failed once more."""
    return json_answer(letter_document(_desk(call).resend(call.path["letter_id"], by_of(call))))


@operation(
    "POST",
    "/v1/rights-letters/{letter_id}/posted",
    auth=_OFFICER,
    answers=(_LETTER,),
    raises=(NotFound, Conflict),
)
def letter_posted(call: Call) -> Response:
    """Say that a letter was printed and posted; said once, it stays so."""
    return json_answer(letter_document(_desk(call).posted(call.path["letter_id"], by_of(call))))


def _desk(call: Call) -> LetterDesk:
    desk = call.services.rights.letters
    if desk is None:
        raise NotFound("no letters are written here")
    return desk


OPERATIONS = (read_letters, resend_letter, letter_posted)
