"""What ``postvouch dkim rotate`` prints: steps, records to publish, what is waited for; tables and JSON."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

import click

from postvouch.cli import output
from postvouch.config.convert import show
from postvouch.host.keyfiles import load_key
from postvouch.host.keyfolder import folder
from postvouch.host.rotation import Busy
from postvouch.host.rotator import Desk, NotNow, Outcome
from postvouch.sign import record as records
from postvouch.sign import recordforms
from postvouch.sign.keys import KeyProblem
from postvouch.sign.rotate import Need, Wait
from postvouch.sign.rotation import Key, Rotation, State

_DONE = {
    State.MADE: "its record is not everywhere any more: back to made",
    State.PUBLISHED: "its record is on every name server: published",
    State.ACTIVE: "signs from now on: active",
    State.RETIRING: "signs no more: retiring",
    State.REVOKED: "its record is empty everywhere: revoked, its file goes",
    State.DELETED: "its record is gone: deleted",
}
_ASKED = {
    Need.PUBLISH: "Publish this:",
    Need.REVOKE: "Publish this in place of the old record:",
    Need.REMOVE: "Remove this record:",
}
_CHANGES = {Need.PUBLISH: "replace", Need.REVOKE: "replace", Need.REMOVE: "delete"}


@dataclass(kw_only=True)
class Report:
    """Prints the domains one by one; with ``as_json`` all of them at the end."""

    desk: Desk
    form: str
    zone: str | None
    as_json: bool
    _data: list[dict[str, Any]] = field(default_factory=list)

    def outcome(self, outcome: Outcome, *, dry_run: bool) -> int:
        """What was done, or would be, and what is waited for; the exit status."""
        if self.as_json:
            self._data.append(self._outcome_data(outcome, dry_run=dry_run))
            return _status(outcome, dry_run=dry_run)
        domain = outcome.rotation.domain
        would = "would be: " if dry_run else ""
        for selector in outcome.made:
            output.line(f"{domain}: {would}{selector}: made")
        for move in outcome.step.moves:
            output.line(f"{domain}: {would}{move.selector}: {_DONE[move.after]}")
        for note in outcome.notes:
            output.line(f"{domain}: note: {note}")
        self._waits(outcome)
        if outcome.step.waits or (outcome.made and dry_run):
            return _status(outcome, dry_run=dry_run)
        signing = " and ".join(key.selector for key in outcome.rotation.active)
        output.line(f"{domain}: {signing or 'nothing'} signs; nothing is left to do")
        return output.OK

    def status(self, domain: str, outcome: Outcome | None) -> int:
        """A table of the keys and what the next run would do; the exit status."""
        if outcome is None:
            if self.as_json:
                self._data.append({"domain": domain, "keys": []})
            else:
                output.line(f"{domain}: no managed key yet; make one with: postvouch dkim rotate {domain}")
            return output.TEMPFAIL
        if self.as_json:
            self._data.append(self._outcome_data(outcome, dry_run=True))
            return _status(outcome, dry_run=True)
        rotation = outcome.before
        hosts = f", copied to {', '.join(rotation.hosts)}" if rotation.hosts else ""
        output.heading(f"{domain}: made on {rotation.maker}{hosts}")
        rows = []
        for key in rotation.keys:
            fact = outcome.facts.records.get(key.selector)
            rows.append([key.selector, key.kind, key.state, _when(key.since), fact.seen if fact else "-"])
        output.table(["SELECTOR", "KIND", "STATE", "SINCE", "IN DNS"], rows)
        for move in outcome.step.moves:
            output.line(f"next run: {move.selector}: {_DONE[move.after]}")
        for wait in outcome.step.waits:
            output.raw(_line(outcome, wait))
        return _status(outcome, dry_run=True)

    def confirmed(self, rotation: Rotation, path: str) -> None:
        """What to do on the maker."""
        host, number = self.desk.host, rotation.active[0].generation
        if self.as_json:
            self._data.append({"domain": rotation.domain, "host": host, "generation": number, "file": path})
            return
        signing = " and ".join(key.selector for key in rotation.active)
        output.line(f"{rotation.domain}: {host} signs with {signing}. On {rotation.maker}:")
        output.line(f"  postvouch dkim rotate {rotation.domain} --confirmed {host}:{number}")
        output.line(f"or copy {path} into the folder of the domain there.")

    def problem(self, domain: str, problem: Exception) -> int:
        """A domain that could not be worked on; the exit status."""
        status = output.NEGATIVE
        if isinstance(problem, KeyProblem):
            status = output.UNAVAILABLE
        elif isinstance(problem, NotNow | Busy):
            status = output.TEMPFAIL
        if self.as_json:
            self._data.append({"domain": domain, "problem": str(problem)})
        click.echo(output.clean(f"{domain}: {problem}"), err=True)
        return status

    def progress(self, text: str) -> None:
        """A sign of life, for a person who waits."""
        click.echo(output.clean(f"{time.strftime('%H:%M:%S')} {text}"), err=True)

    def end(self) -> None:
        """The JSON, where it was asked for."""
        if self.as_json:
            output.print_json({"domains": self._data})

    def _waits(self, outcome: Outcome) -> None:
        for need, title in _ASKED.items():
            keys = self._keys(outcome, need)
            if not keys:
                continue
            try:
                text = self._text(outcome, need, keys, self.form)
            except (KeyProblem, ValueError) as error:
                output.line(f"{outcome.rotation.domain}: {error}")
                continue
            click.echo()
            output.heading(title)
            click.echo()
            if need is Need.REMOVE and self.form != "nsupdate":
                text = "".join(f"{records.owner(outcome.rotation.domain, k.selector)} TXT\n" for k in keys)
            click.echo(text)
        for wait in outcome.step.waits:
            output.raw(_line(outcome, wait))
        if outcome.rotation.active and not outcome.before.active:
            output.line("Let it sign, where no [[sign.key]] does so yet:")
            output.raw(f"[[sign.key]]\ndomain = {show(outcome.rotation.domain)}")

    def _keys(self, outcome: Outcome, need: Need) -> list[Key]:
        wanted = {wait.selector for wait in outcome.step.waits if wait.need is need}
        return [key for key in outcome.rotation.keys if key.selector in wanted]

    def _text(self, outcome: Outcome, need: Need, keys: list[Key], form: str) -> str:
        domain = outcome.rotation.domain
        place = folder(self.desk.directory, domain)
        made = [
            records.Record(
                domain=domain,
                selector=key.selector,
                strings=records.strings(load_key(str(place / key.file)))
                if need is Need.PUBLISH
                else records.revoked(key.kind),
            )
            for key in keys
        ]
        return recordforms.text(made, form=form, zone=self.zone, change=_CHANGES[need])

    def _outcome_data(self, outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
        rotation = outcome.before if dry_run else outcome.rotation
        wanted: dict[str, Any] = {}
        for need in _ASKED:
            keys = self._keys(outcome, need)
            if keys:
                try:
                    parsed = json.loads(self._text(outcome, need, keys, "json"))
                except (KeyProblem, ValueError):
                    continue
                wanted[need] = parsed if isinstance(parsed, list) else [parsed]
        return {
            "domain": rotation.domain,
            "maker": rotation.maker,
            "hosts": list(rotation.hosts),
            "confirmed": dict(rotation.confirmed),
            "keys": [_key_data(key, outcome) for key in rotation.keys],
            "made": list(outcome.made),
            "steps": [{"selector": m.selector, "from": m.before, "to": m.after} for m in outcome.step.moves],
            "waits": [_wait_data(wait) for wait in outcome.step.waits],
            "records": wanted,
            "notes": list(outcome.notes),
        }


def _key_data(key: Key, outcome: Outcome) -> dict[str, Any]:
    fact = outcome.facts.records.get(key.selector)
    return {
        "selector": key.selector,
        "kind": key.kind,
        "generation": key.generation,
        "state": key.state,
        "since": key.since,
        "stopped": key.stopped,
        "stolen": key.stolen,
        "dns": {"seen": fact.seen, "why": fact.why} if fact else None,
    }


def _wait_data(wait: Wait) -> dict[str, Any]:
    return {"selector": wait.selector, "need": wait.need, "why": wait.why, "until": wait.until or None}


def _line(outcome: Outcome, wait: Wait) -> str:
    """One line of what is waited for."""
    what = f"{outcome.rotation.domain}: {wait.selector}"
    if wait.need is Need.ALARM:
        return f"{output.styled('problem')}: {output.clean(f'{what}: {wait.why}')}"
    if wait.need is Need.TIME:
        left = _span(wait.until - outcome.now)
        return output.clean(f"{what}: waits until {_when(wait.until)}, {left} from now: {wait.why}")
    if wait.need is Need.CONFIRM:
        return output.clean(f"{what}: waits until the new keys sign on {wait.why}: --confirm there")
    key = outcome.rotation.find(wait.selector)
    return output.clean(f"{what} is {key.state if key else 'unknown'}: {wait.why}")


def _status(outcome: Outcome, *, dry_run: bool) -> int:
    needs = {wait.need for wait in outcome.step.waits}
    if Need.ALARM in needs:
        return output.NEGATIVE
    moves = dry_run and (outcome.made or outcome.step.moves)
    return output.TEMPFAIL if needs or moves else output.OK


def _when(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _span(seconds: int) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} seconds"
