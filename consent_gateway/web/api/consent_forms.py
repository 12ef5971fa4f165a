"""Forms by which a channel asks one person about one purpose without building one; shows and records nothing."""

from flask import Response

from consent_gateway.callers.registry import Scope
from consent_gateway.errors import UnknownPurpose
from consent_gateway.preferences.forms import NewForm
from consent_gateway.web import link_schemas as schemas
from consent_gateway.web.operations import Answer, Call, json_answer, operation
from consent_gateway.web.persons import person_of
from consent_gateway.web.preferences.embedded import FORM


@operation(
    "POST",
    "/v1/consent-forms",
    auth=Scope.CONSENTS_WRITE,
    body=schemas.NewFormSchema,
    answers=(Answer(201, "A fresh form, good for one answer.", schemas.FormSchema),),
    raises=(UnknownPurpose,),
    example={
        "identifier": {"kind": "email", "value": "ada@example.com"},
        "purpose": "email_marketing",
        "language": "en",
    },
)
def make_consent_form(call: Call) -> Response:
    """Make a form that asks one person about one purpose, to be shown in a frame of your page or as a page.

    Who is asked, the text, its version and language are sealed into the address, which names nobody. The answer is
    recorded as one of your channel, with the text shown. `origin` must be one that the operator allows; without it no
    page may frame the form. The answer is the same whether or not anybody is known by the identifier.
    """
    body = call.body
    new = NewForm(person_of(body), body["purpose"], body.get("language", "en"), body.get("origin"))
    issued = call.services.preferences.forms.make(call.caller, new)
    form = issued.form
    answer = {
        "form_id": form.form_id,
        "url": f"{call.services.issuer}{FORM}?t={issued.token}",
        "expires_at": form.expires_at,
        "notice": form.notice,
        "notice_version": form.notice_version,
        "notice_sha256": form.notice_sha256,
        "language": form.language,
    }
    return json_answer(answer, 201)


OPERATIONS = (make_consent_form,)
