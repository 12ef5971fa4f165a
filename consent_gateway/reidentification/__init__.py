"""Turning a pseudonym back into a person: asked for, signed by a second person, told once; holds no key and no rule.

`requests` takes what is asked, `approvals` the signature over it, `reveals` tells. What the three write into the log
is enough for `audit.reidentification_proof` to verify each of them later from an export alone.
"""
