"""Is this mail what it says it is? SPF, DKIM and DMARC, pure functions given a Resolver and the time."""
