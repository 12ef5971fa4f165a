"""The web room: HTTP in and out of the gateway, and nothing else; decides nothing and reads no table.

`operations` is the one list every route comes from, `auth` turns a token into a caller, `bodies` and `schemas`
turn bytes into checked values, `problems` turns every error into an answer, `security` puts the headers on all of
them, `openapi` and `apidocs` describe what is served. `api` holds one thin function per call.
"""
