"""Letter 6: LDAP is gone before the daemons even start. The snapshot answers, and says how old it is."""

import re
import time

from lab.lab import DAEMONS, Lab
from lab.letters.submission import both_doors, is_refused, submit
from lab.letters.way import bounce_letter, role_letter
from lab.post import metric, metrics
from lab.story import Story, letter

WITH_NAMES = ("mx", "srs", "submission")
AGE = "postvouch_directory_age_seconds"


@letter(6, "slapd is stopped, the daemons restart: letters 1 to 3 still work")
def ldap_is_gone(lab: Lab, story: Story) -> None:
    """Nothing in the path of mail ever waits for LDAP."""
    story.tell("slapd is stopped. Then every daemon that knows names is restarted.")
    with lab.stopped("ldap", "lab-slapd"):
        stopped = time.monotonic()

        def restart(host: str) -> str:
            units = " ".join(f"postvouch-{daemon}" for daemon in DAEMONS[host])
            return lab.sh(host, f"systemctl restart {units}").text

        lab.each(WITH_NAMES, restart)
        story.tell("Letter 1 again:")
        role_letter(lab, story)
        story.tell("Letter 2 again:")
        bounce_letter(lab, story)
        story.tell("Letter 3 again:")
        both_doors(lab, story)
        is_refused(story, submit(lab, sender="carol@our.example"), "553")

        age = metric(metrics(lab, "mx", "map"), AGE)
        story.show("mx", f"{AGE} {age:.1f}")
        story.claim("/metrics shows the snapshot's age", age >= time.monotonic() - stopped - 2, age)

        def warned() -> list[str]:
            lines = lab.journal("mx", story.began, word="postvouch-map[")
            return [line for line in lines if re.search(r"directory: .* old: LDAP: ", line)]

        lines = lab.wait("a line of postvouch-map about the age", warned, timeout_s=40)
        assert isinstance(lines, list)
        story.show("mx", lines[-1].partition(" postvouch-")[2])
        story.claim("and so does the log", lines, "no line")
    story.tell("slapd runs again.")
    lab.wait(
        "a fresh snapshot on mx", lambda: metric(metrics(lab, "mx", "map"), AGE) < 10, timeout_s=40, every_s=1
    )
    story.claim("the snapshot is fresh again", True)
