"""Letter 4, the verdict: what mode = monitor says, mode = enforce does."""

from lab.lab import Lab
from lab.letters.spoof import spoof
from lab.post import log_line, new_id, refusal, setting
from lab.story import Story, letter

URL = "https://our.example/how-to-send"
RULES = f'own_fail = "reject"\nown_url = "{URL}"\nenforced_reject = "reject"\n'


def unproven(lab: Lab, story: Story) -> tuple[str, str]:
    """As alice@far.example (p=reject), by a host that is not hers: (Message-ID, swaks' transcript)."""
    message_id = new_id("unproven")
    story.tell("A stranger writes as alice@far.example, whose domain publishes p=reject.")
    transcript = lab.swaks(
        "sink", "--server", lab.address("mx"), "--helo", "mx.gmail.example", "--from", "eve@gmail.example",
        "--to", "dora@our.example", "--header", "From: Alice <alice@far.example>",
        "--header", f"Message-Id: <{message_id}>",
    ).out  # fmt: skip
    return message_id, transcript


@letter(4, "mode = monitor: taken, and the log says what would be")
def monitor_says_what_would_be(lab: Lab, story: Story) -> None:
    """The rules refuse; monitor only counts, so that an admin can look before it hurts."""
    with setting(lab, "mx", "verify", f'[verdict]\nmode = "monitor"\n{RULES}'):
        for send in (lambda: spoof(lab, story, "mallory@far.example"), lambda: unproven(lab, story)):
            message_id, transcript = send()
            story.claim("mx takes it", not refusal(transcript), transcript[-900:])
            line = log_line(lab, "mx", "verify", story, message_id)
            story.show("mx", line)
            story.claim("the log says would=reject", "would=reject" in line, line)


@letter(4, "mode = enforce: refused, and a member learns where to read how it is done")
def enforce_refuses(lab: Lab, story: Story) -> None:
    """550 at the end of the letter, in the session: nobody is bounced to."""
    with setting(lab, "mx", "verify", f'[verdict]\nmode = "enforce"\n{RULES}'):
        message_id, transcript = spoof(lab, story, "mallory@far.example")
        said = refusal(transcript)
        story.show("mx", said or "took it")
        story.claim("a spoof: 550 5.7.1", said.startswith("550 5.7.1"), transcript[-900:])
        story.claim("and the page that says how to send", said.endswith(URL), said)
        line = log_line(lab, "mx", "verify", story, message_id)
        story.show("mx", line)
        story.claim("the log has the reason", "action=reject" in line and "would=" not in line, line)

        _, transcript = unproven(lab, story)
        said = refusal(transcript)
        story.show("mx", said or "took it")
        story.claim(
            "a letter that p=reject disowns: 550 5.7.1", said.startswith("550 5.7.1"), transcript[-900:]
        )
        story.claim("our page is not for strangers", URL not in said, said)
    story.claim("no bounce of ours is on its way", not lab.queues(), lab.queues())
