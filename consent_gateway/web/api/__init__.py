"""The calls of the API, one thin function each: arguments in, one service called, answer out."""
