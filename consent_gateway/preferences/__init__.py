"""The preference centre without its pages: what a person is shown and how their answers become choices; knows no HTTP.

`standing` tells from the live policy how each purpose stands, `answers` turns a form into events, `centre` is both over
the ledger and the log, `brand` and `words` are how the company looks and speaks.
"""
