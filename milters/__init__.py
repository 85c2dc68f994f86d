"""Door 1: Postfix hands us messages (milter protocol). Imported as ``postvouch.milters`` only."""

if __name__ != "postvouch.milters":
    raise ImportError("import postvouch.milters: under its short name this file would live twice")
