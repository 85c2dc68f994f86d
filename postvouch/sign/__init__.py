"""Say who we are: keys, the decision to sign, DKIM signatures and their DNS records."""
