"""The demo: the lab comes up, every letter is sent, and a person reads what happened to it."""

import time
import traceback

from lab.bring_up import up
from lab.engine import EngineError
from lab.lab import Lab, LetterFailed
from lab.letters import LETTERS
from lab.story import Letter, Story


def tell_one(lab: Lab, scene: Letter) -> bool:
    """One scene with its heading and its end; whether it went well. The lab is clean afterwards."""
    print(f"\nLetter {scene.number}: {scene.title}", flush=True)
    began = time.monotonic()
    try:
        scene.act(lab, Story())
    except (LetterFailed, EngineError) as failure:
        fault = str(failure)
    except Exception:  # a fault of the lab's own is one failed scene as well, and the others go on
        fault = traceback.format_exc()
    else:
        print(f"    passed in {time.monotonic() - began:.1f} s", flush=True)
        lab.clean()
        return True
    print("    FAILED: " + fault.strip().replace("\n", "\n            ")[:3000])
    print(f"    logs of all hosts: {lab.save_logs(scene.name)}", flush=True)
    lab.clean()
    return False


def demo(release: str) -> int:
    """All of it; the exit code."""
    began = time.monotonic()
    print(f"postvouch on Debian {release}: six Postfix hosts of ours, a stranger, the world's big mailbox.")
    print("The first run builds images and the package; later ones use them again.", flush=True)
    try:
        lab = up(release)
    except EngineError as error:
        print(f"\nthe lab did not come up: {error}")
        print("demo: 0 passed, 1 failed")
        return 1
    passed = sum(tell_one(lab, scene) for scene in LETTERS)
    failed = len(LETTERS) - passed
    print(f"\nThe lab stays up (containers {lab.topology.network}-*); ./do demo-down removes it.")
    print(f"The demo took {time.monotonic() - began:.0f} s.")
    print(f"demo: {passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0
