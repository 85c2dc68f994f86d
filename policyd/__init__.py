"""Door 2: Postfix asks us questions (socketmap, policy). Imported as ``postvouch.policyd`` only."""

if __name__ != "postvouch.policyd":
    raise ImportError("import postvouch.policyd: under its short name this file would live twice")
