"""The configuration: one frozen ``Config`` from /etc/postvouch/postvouch.toml and conf.d/*.toml."""
