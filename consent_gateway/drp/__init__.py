"""The Data Rights Protocol 1.0, server side: agents' signed requests in, their states out; decides no request itself.

What an agent asks for goes the way of every other request, through `rights`. This room knows the protocol's words, the
agents' keys and tokens, and where an agent wants to be told.
"""
