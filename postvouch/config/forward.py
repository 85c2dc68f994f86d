"""The table [forward]: what leaves to addresses outside, and what comes back from there."""

from dataclasses import dataclass

from postvouch.config.kinds import setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Mail that srs hosts hand on to addresses outside, and the bounces that come back from them."""

    private: bool = setting(
        True,
        "A bounce that comes from behind a forward is written anew before a stranger sees it, so that it "
        "names the forward's address of ours and never the one outside.",
    )
    gate: str = setting(
        "off",
        "What srs does with mail for a forward that mx has marked as spam or as a spoof, or whose DMARC "
        "failed against its author's wish: off: it goes; hold: Postfix puts it into its hold queue; refuse: "
        "it is refused, and mx tells the sender. Bounces always go.",
        choices=("off", "hold", "refuse"),
    )
    spam_marks: tuple[str, ...] = setting(
        ("X-Spam-Flag: YES", "X-Spam: Yes"),
        'By which fields the spam filter of mx marks a letter, each "Name: beginning of its value", in any '
        "case. They count where the Authentication-Results field of sign.vouching_id is on top.",
    )
