"""The officers' pages at `/console`: HTML in and out of the rooms they show; decides nothing and reads no table.

`routes` declares and mounts them, each under an act of `console.permissions`; `guard` says who may see one and whose
form is taken; `showing` renders. Pages need no script; only those on which a passkey answers have one.
"""
