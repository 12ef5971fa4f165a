"""The customers' pages at `/preferences`: HTML in and out of the preference centre; decides nothing and reads no table.

`routes` declares and mounts them, `guard` says who may see one and whose form is taken, `reading` and `answering` hold
one thin function per page, `showing` renders. No page has a script.
"""
