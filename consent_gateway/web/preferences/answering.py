"""The forms a customer sends: each is recorded by the centre, then answered with where to look; judges nothing."""

from collections.abc import Mapping
from urllib.parse import urlencode

from flask import Response

from consent_gateway.errors import FieldFault, InputRefused, UnknownPurpose
from consent_gateway.preferences.answers import Mark
from consent_gateway.preferences.centre import Saved
from consent_gateway.web.preferences.guard import TOKEN_FIELD
from consent_gateway.web.preferences.reading import show_choices
from consent_gateway.web.preferences.routes import Customer, PageCall, page
from consent_gateway.web.preferences.showing import HOME, see_other

MARK, SHOWN = "mark.", "shown."
"""What the names of a form's fields begin with; the purpose follows."""


@page("POST", HOME, auth=Customer())
def save(call: PageCall) -> Response:
    """Record what was marked."""
    fields = fields_of(call)
    marks = _marks(fields)
    if not marks:
        return show_choices(call, status=400, faults=(("all", call.words("error.nothing")),))
    return _saved(call, marks, fields)


def _saved(call: PageCall, marks: Mapping[str, Mark], fields: Mapping[str, str]) -> Response:
    try:
        saved = call.centre.save(call.visit.data_subject, marks, _shown(fields), call.words.language, gpc=call.gpc)
    except UnknownPurpose:
        raise
    except InputRefused as error:
        faults = tuple((purpose, _changed(call, purpose)) for purpose in (f.pointer[1:] for f in error.faults))
        return show_choices(call, status=400, faults=faults, marks=marks)
    return _answered(call, saved)


@page("POST", f"{HOME}/matrix", auth=Customer())
def matrix(call: PageCall) -> Response:
    """Record what one button of the matrix says of a cell, a whole row or a whole column."""
    fields = fields_of(call)
    part, _, rest = fields.get("set", "").partition(".")
    key, _, word = rest.partition(".")
    (mark,) = _marks({f"{MARK}*": word}).values()
    view = call.centre.view(call.visit.data_subject, gpc=call.gpc)
    answerable = {each.purpose for each in view.standings if each.answerable}
    purposes = [each for each in call.centre.brand.purposes_of(part, key) if each in answerable]
    if not purposes:
        raise InputRefused("the matrix has no such choice", (FieldFault("/set", "unknown"),))
    return _saved(call, dict.fromkeys(purposes, mark), fields)


@page("POST", f"{HOME}/less", auth=Customer())
def less(call: PageCall) -> Response:
    """Pause a purpose, end its pause, say how often, or end it: the no stands beside each of these."""
    fields = fields_of(call)
    purpose, act = fields.get("purpose", ""), fields.get("act", "")
    if act == Mark.REFUSE:
        return _saved(call, {purpose: Mark.REFUSE}, fields)
    language, often = call.words.language, fields.get("frequency", "")
    return _answered(call, call.centre.less(call.visit.data_subject, purpose, act, often, language))


@page("POST", f"{HOME}/confirm", auth=Customer())
def confirm(call: PageCall) -> Response:
    """Record the second step after an opt-out."""
    fields = fields_of(call)
    purposes = [name.removeprefix(MARK) for name in fields if name.startswith(MARK)]
    return _answered(call, call.centre.confirm(call.visit.data_subject, purposes, _shown(fields), call.words.language))


@page("POST", f"{HOME}/none", auth=Customer())
def none(call: PageCall) -> Response:
    """Refuse everything at once."""
    fields_of(call)
    return _answered(call, call.centre.end_all(call.visit.data_subject, call.words.language))


@page("POST", f"{HOME}/no-sale", auth=Customer())
def no_sale(call: PageCall) -> Response:
    """Opt out of sale and sharing."""
    fields_of(call)
    return _answered(call, call.centre.end_sale(call.visit.data_subject, call.words.language))


@page("POST", f"{HOME}/object", auth=Customer())
def object_to(call: PageCall) -> Response:
    """Object to one purpose."""
    purpose = fields_of(call).get("purpose", "")
    return _answered(call, call.centre.end(call.visit.data_subject, purpose, call.words.language))


@page("POST", f"{HOME}/act", auth=Customer())
def act(call: PageCall) -> Response:
    """Join or leave the programme, limit sensitive data or stop limiting it."""
    named = fields_of(call).get("act", "")
    return _answered(call, call.centre.act(call.visit.data_subject, named, call.words.language))


def _answered(call: PageCall, saved: Saved) -> Response:
    position = "none" if saved.position is None else saved.position
    if not saved.to_confirm:
        return see_other(call.words, HOME, saved=position)
    response = see_other(call.words, f"{HOME}/confirm", saved=position)
    response.headers["Location"] += "&" + urlencode([("purpose", each) for each in saved.to_confirm])
    return response


def fields_of(call: PageCall) -> Mapping[str, str]:
    """The form's fields. One that is sent twice says two things, so nothing is taken of such a form."""
    given = call.request.form.to_dict(flat=False)
    if any(len(values) != 1 for values in given.values()):
        raise InputRefused("a field is sent twice")
    return {name: values[0] for name, values in given.items() if name != TOKEN_FIELD}


def _marks(fields: Mapping[str, str]) -> dict[str, Mark]:
    marked = {name.removeprefix(MARK): value for name, value in fields.items() if name.startswith(MARK)}
    if not set(marked.values()) <= set(Mark):
        raise InputRefused("a mark is neither allow nor refuse", (FieldFault("/mark", "unknown"),))
    return {purpose: Mark(value) for purpose, value in marked.items()}


def _shown(fields: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(SHOWN): value for name, value in fields.items() if name.startswith(SHOWN)}


def _changed(call: PageCall, purpose: str) -> str:
    return call.words("error.changed", purpose=call.words.purpose(purpose))


PAGES = (save, matrix, less, confirm, none, no_sale, object_to, act)
