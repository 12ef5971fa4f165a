"""Reads and writes what shows a spoken or a paper choice, in the `reference` of its evidence; pure.

Nobody has a screen to point at: what shows a spoken yes is who heard it and which script was read out, what shows a
yes on paper is the form itself, by the SHA-256 of its image. An operator's own number of the call or form may follow.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from consent_gateway.errors import FieldFault, InputRefused
from consent_gateway.ids import REFERENCE

SPOKEN, PAPER = "spoken", "paper"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,23}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LONGEST = 48  # of the operator's own number
_SPOKEN = re.compile(
    rf"agent:(?P<agent>{_NAME.pattern})/script:(?P<script_version>{_NAME.pattern})(?:/ref:(?P<ref>.+))?"
)
_PAPER = re.compile(rf"sha256:(?P<image_sha256>{_SHA256.pattern})(?:/ref:(?P<ref>.+))?")


@dataclass(frozen=True, slots=True)
class Witness:
    """Who heard a choice and what was read out, or the image of the form it stands on."""

    agent: str | None = None
    script_version: str | None = None
    image_sha256: str | None = None

    def reference(self, how: str, own: str | None) -> str | None:
        """The reference that holds all of it. Raises `InputRefused` with a fault at each member that is malformed."""
        faults = tuple(self._faults(how, own))
        if faults:
            raise InputRefused(f"the evidence is malformed: {faults[0].message}", faults)
        if self.agent is not None:
            made = f"agent:{self.agent}/script:{self.script_version}"
        elif self.image_sha256 is not None:
            made = f"sha256:{self.image_sha256}"
        else:
            return own
        return made if own is None else f"{made}/ref:{own}"

    def missing(self, how: str) -> tuple[FieldFault, ...]:
        """What a yes of this way lacks."""
        faults = []
        if how == SPOKEN and self.agent is None:
            faults.append(FieldFault("/evidence/agent", "a spoken yes needs the id of the agent who heard it"))
        if how == SPOKEN and self.script_version is None:
            faults.append(FieldFault("/evidence/script_version", "a spoken yes needs the version of the script"))
        if how == PAPER and self.image_sha256 is None:
            faults.append(FieldFault("/evidence/image_sha256", "a yes on paper needs the SHA-256 of the form's image"))
        return tuple(faults)

    def _faults(self, how: str, own: str | None) -> list[FieldFault]:
        faults = []
        members = {"agent": (SPOKEN, _NAME), "script_version": (SPOKEN, _NAME), "image_sha256": (PAPER, _SHA256)}
        for name, (way, form) in members.items():
            value = getattr(self, name)
            if value is None:
                continue
            if how != way:
                faults.append(FieldFault(f"/evidence/{name}", f"belongs to a choice whose `how` is `{way}`"))
            elif form.fullmatch(value) is None:
                told = "64 hexadecimal digits, in lower case" if form is _SHA256 else "an id of up to 24 characters"
                faults.append(FieldFault(f"/evidence/{name}", f"must be {told}"))
        if (self.agent is None) is not (self.script_version is None):
            absent = "agent" if self.agent is None else "script_version"
            faults.append(FieldFault(f"/evidence/{absent}", "agent and script version belong together: give both"))
        long = own is not None and (self.agent or self.image_sha256) and len(own) > _LONGEST
        if long or (own is not None and self.agent and REFERENCE.fullmatch(own) is None):
            faults.append(FieldFault("/evidence/reference", f"at most {_LONGEST} characters of the kind an id has"))
        return faults


def read_witness(how: str, reference: str | None) -> Mapping[str, str]:
    """What a stored reference says, by member; the reference alone where it is of no such form."""
    form = {SPOKEN: _SPOKEN, PAPER: _PAPER}.get(how)
    found = None if form is None or reference is None else form.fullmatch(reference)
    if found is None:
        return {} if reference is None else {"reference": reference}
    said = {name: value for name, value in found.groupdict().items() if value is not None}
    return {("reference" if name == "ref" else name): value for name, value in said.items()}
