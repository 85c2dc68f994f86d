"""The table [postfix]: what "postvouch postfix" must know beyond what the other tables already say."""

from dataclasses import dataclass

from postvouch.config.kinds import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Postfix:
    """What "postvouch postfix" writes into main.cf and master.cf; no daemon reads it."""

    outgoing_transport: str = setting(
        "",
        "Where mail for the world goes. mx and submission: the srs hosts (default: map.forward_transport). "
        "srs and relay: empty sends it directly.",
        example='"smtp:[srs.our.example]"',
    )
    home_transport: str = setting(
        "",
        "On submission, where mail for general.domains goes. Default: to their MX.",
        example='"smtp:[mx.our.example]"',
    )
    tls_cert: str = setting(
        "", "Certificate chain that smtpd shows (PEM). submission needs it.", example='"/etc/ssl/mail.pem"'
    )
    tls_key: str = setting("", "Its private key (PEM). Default: in the same file.")
    help_url: str = setting(
        "",
        "On submission, the page that every refusal names, ours and Postfix's own (smtpd_reject_footer).",
        example='"https://our.example/mail-help"',
    )
    hide_clients: bool = setting(
        True,
        "On submission, what logins send does not tell from where and with which program: Received: keeps "
        "our own name only, and User-Agent, X-Mailer and X-Originating-IP go. The log has the client.",
    )
    more_milters: tuple[str, ...] = setting(
        (),
        "Milters of others, as smtpd_milters takes them: after ours on mx (which removes forged fields), "
        "before ours elsewhere (nothing may change once it is signed).",
        example='["{ inet:127.0.0.1:11332, default_action=accept }"]',
    )
    sign_default_action: str = setting(
        "tempfail",
        "What Postfix does while postvouch-sign is away (default_action of the milter). tempfail: mail waits "
        "with who sends it, and is signed later. accept: it leaves unsigned, and is refused by whoever heeds "
        'our DMARC record; "postvouch unsigned" says which.',
        choices=("tempfail", "accept"),
    )
