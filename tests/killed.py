"""Run "postvouch dkim rotate" and kill it at each call by which it changes the disk; then run it again.

A process of its own (a test starts it), so that it can fork: each run is a child, SIGKILLed at its n-th call.

    python killed.py < job.json                         # what came of each n, as JSON

The job: ``folder`` (copied for each n), ``config`` (a text in which {folder} stands for the copy), ``port``
of the name servers, ``now`` and ``arguments``.
"""

import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

from postvouch.cli import rotate as verb
from postvouch.cli import rotatedesk
from postvouch.cli.main import run
from postvouch.host import dnsauthority

CHANGES = ("mkdir", "open", "write", "fchmod", "chmod", "fsync", "link", "unlink", "replace", "rename")
MOST = 200


def deadly(name, left, below):
    """os.NAME, which kills when ``left`` calls are over: before the call, as a power failure would."""
    real = getattr(os, name)

    def call(*arguments, **options):
        changes = name != "open" or (
            str(arguments[0]).startswith(below) and arguments[1] & (os.O_CREAT | os.O_TRUNC)
        )
        if changes:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    return call


def child(job, copy, dies_at):
    """One run in a child; its status as of waitpid, and what it said."""
    output = copy.parent / f"{copy.name}.out"
    pid = os.fork()
    if pid == 0:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        config = copy.parent / f"{copy.name}.toml"
        config.write_text(job["config"].replace("{folder}", str(copy)))
        dnsauthority.PORT = job["port"]
        desk_of = rotatedesk.desk_of
        verb.desk_of = lambda config: replace(desk_of(config), clock=lambda: job["now"])
        if dies_at:
            left = [dies_at]
            for name in CHANGES:
                setattr(os, name, deadly(name, left, str(copy)))
        status = 99
        try:
            status = run(["dkim", "rotate", *job["arguments"], "--config", str(config)])
            sys.stdout.flush()
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return status, output.read_text()


def seen(copy):
    """What is on disk: the files with their modes, and the state without what differs from run to run."""
    files, state = {}, {}
    for path in sorted(copy.rglob("*")):
        if path.is_file():
            files[str(path.relative_to(copy))] = f"{path.stat().st_mode & 0o777:o}"
        if path.name == "rotation.json":
            state = json.loads(path.read_text())
            for key in state["keys"]:
                key["public"] = bool(key["public"])
    return {"files": files, "state": state}


def main():
    """All n until one survives, that is: until there is no n-th call."""
    job = json.load(sys.stdin)
    results = []
    for number in range(MOST):
        copy = Path(job["folder"]).with_name(f"copy{number}")
        shutil.copytree(job["folder"], copy)
        status, _ = child(job, copy, number)
        between = seen(copy)
        again, said = child(job, copy, 0)
        results.append(
            {"status": status, "between": between, "again": again, "said": said, "after": seen(copy)}
        )
        if number and not os.WIFSIGNALED(status):
            break
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
