"""Letter 10: some of the same letters through the other door, the one our milters do not have by default."""

import contextlib
from collections.abc import Iterator

from lab.engine import FileIn
from lab.lab import DAEMONS, Lab
from lab.letters import relay, spoof, submission, way
from lab.story import Story, letter

PATH = "/etc/postvouch/conf.d/zz-door.toml"
OTHER = {"pymilter": "native", "native": "pymilter"}
MILTERS = {
    host: tuple(daemon for daemon in daemons if daemon in ("verify", "sign"))
    for host, daemons in DAEMONS.items()
}


@contextlib.contextmanager
def other_door(lab: Lab) -> Iterator[str]:
    """While this lasts every milter of ours runs with the other engine; its name."""
    usual = lab.sh("relay", "postvouch config sign.engine").out.strip().strip('"')
    other = OTHER[usual]

    def restart(host: str) -> str:
        return lab.sh(host, "systemctl restart " + " ".join(f"postvouch-{d}" for d in MILTERS[host])).text

    for host, daemons in MILTERS.items():
        text = "".join(f'[{daemon}]\nengine = "{other}"\n' for daemon in daemons)
        lab.engine.put(lab.topology.container(host), {PATH: FileIn(text=text)})
    try:
        lab.each(tuple(MILTERS), restart)
        yield other
    finally:
        lab.each(tuple(MILTERS), lambda host: lab.sh(host, f"rm -f {PATH}").text)
        lab.each(tuple(MILTERS), restart)


@letter(10, "in, out, submitted, relayed, bounced and spoofed through the other door")
def the_other_door(lab: Lab, story: Story) -> None:
    """Verifier and signers of all hosts with the other engine."""
    with other_door(lab) as engine:
        story.tell(f"Every milter of ours is started again with engine = {engine}.")
        way.role_letter(lab, story)
        submission.both_doors(lab, story)
        submission.is_refused(story, submission.submit(lab, author="carol@our.example"), "550")
        for scene in (relay.keyless_host, relay.local_pickup, way.forged_results_are_removed):
            lab.clean()
            scene(lab, story)
        lab.clean()
        relay.own_bounce(lab, story)
        lab.clean()
        spoof.spoof_is_held(lab, story)
