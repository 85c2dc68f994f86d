"""The machine underneath: DNS, log, metrics, processes, servers, shared counters."""
