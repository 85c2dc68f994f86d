"""postvouch: verify, sign, forward and police mail beside Postfix.

The package is one house with two doors: ``milters`` (Postfix hands us messages) and ``policyd`` (Postfix asks
us questions). ``docs/flow.rst`` follows a letter through both; ``HACKING.rst`` says who may import whom.
"""

__version__ = "0.1.0"
