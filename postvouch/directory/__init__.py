"""Who is who: addresses, aliases, forwards, alias domains, logins, and who may use which address."""
