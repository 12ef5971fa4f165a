"""The console room: what officers' pages read and who may do what there; knows nothing of HTTP.

`permissions` is the one table of acts and roles, `sessions` and `accounts` let officers in, `counting` keeps numbers of
the sealed log so that `overview` never scans it.
"""
