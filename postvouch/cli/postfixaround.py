"""Postfix as it is around us, for verbs that only look: nothing where there is none, and nothing raised."""

from dataclasses import dataclass, field
from pathlib import Path

from postvouch.config.milteraction import accepting
from postvouch.config.schema import Config
from postvouch.config.wiring import as_postfix_says
from postvouch.host.postfix import Postfix, PostfixError
from postvouch.host.wiring import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Postfix's settings, its main.cf and its queue directory; ``is_there``: whether there is one."""

    settings: Settings = field(default_factory=lambda: Settings(main={}, services={}))
    main_cf: str = "main.cf"
    queue_dir: str = "/var/spool/postfix"
    is_there: bool = False


def postfix_of(config_dir: Path | None) -> Around:
    """Read the Postfix of this host. Without one, nothing: not every host that asks has it."""
    try:
        host = Postfix(config_dir)
        main_cf = str(host.config_dir / "main.cf")
        return Around(settings=host.settings(), main_cf=main_cf, queue_dir=host.queue_dir(), is_there=True)
    except (PostfixError, OSError, ValueError):
        return Around()


def milters_let_off(config: Config, around: Around) -> tuple[str, ...]:
    """Where Postfix lets mail go by our milters while they are away (milter_default_action)."""
    places = {"mx": (config.verify.socket,), "single": (config.verify.socket, config.sign.socket)}.get(
        config.general.role, (config.sign.socket,)
    )
    ours = {as_postfix_says(place, around.queue_dir)[0] for place in places} | set(places)
    return accepting(around.settings.main, around.settings.services, ours)
