"""The policy as officers read it: revisions, what changed between two, cases and coverage; nothing here changes it."""

import re

from flask import Response

from consent_gateway.console.permissions import Doing
from consent_gateway.errors import FieldFault, InputRefused
from consent_gateway.web.console.routes import PageCall, page
from consent_gateway.web.console.showing import HOME

POLICIES = f"{HOME}/policies"
_REVISION = re.compile(r"[0-9a-f]{16,64}")


@page("GET", POLICIES, Doing.SEE_POLICIES)
def policies(call: PageCall) -> Response:
    """Every revision that decided, the newest first, and what the one in force holds."""
    present = call.services.policies
    return call.show(
        "policies",
        revisions=call.console.revisions.all(),
        present=present.revision,
        packs=sorted(present.documents.packs),
        purposes=sorted(present.purposes.values(), key=lambda each: each.key),
        rules=len(present.documents.rules()),
    )


@page("GET", f"{POLICIES}/revision", Doing.SEE_POLICIES)
def revision(call: PageCall) -> Response:
    """The documents of one revision as they stood."""
    asked = _revision(call, "revision")
    wanted = call.request.args.get("path", "")
    return call.show("revision", revision=asked, files=call.console.revisions.files(asked), wanted=wanted)


@page("GET", f"{POLICIES}/changes", Doing.SEE_POLICIES)
def changes(call: PageCall) -> Response:
    """What changed from one revision to another."""
    old, new = _revision(call, "old"), _revision(call, "new")
    return call.show("changes", old=old, new=new, changes=call.console.revisions.between(old, new))


@page("GET", f"{POLICIES}/cases", Doing.SEE_POLICIES)
def cases(call: PageCall) -> Response:
    """The written cases, what the policy in force says to each, and the rules that no case reaches."""
    wanted = call.request.args.get("file", "")
    return call.show("cases", report=call.console.revisions.cases(), wanted=wanted)


def _revision(call: PageCall, name: str) -> str:
    text = call.request.args.get(name, "")
    if _REVISION.fullmatch(text) is None:
        raise InputRefused("choose a revision of the list", (FieldFault(f"/{name}", "choose one"),))
    return text


PAGES = (policies, revision, changes, cases)
