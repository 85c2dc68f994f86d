"""``./do fuzz``: the engine and every parser, fed with what a stranger might write.

An input is made from two numbers, the seed of the run and its own: by a generator that knows the grammars,
then broken octet by octet. So whatever fails can be had again (``--only N``). Keys are made from constants.
"""
