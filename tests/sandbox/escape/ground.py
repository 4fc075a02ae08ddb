"""What the attacks of this folder have in common."""

from __future__ import annotations

from tests.sandbox.harness import Ran, Sandbox

SECRET_NAME = "victim-of-the-host"
LEAKED = 201
"""A descriptor of the victim that the launcher has, and no step should."""


class Attack(Sandbox):
    """Runs the program of attacks: `attack("node", …)`; exit code 1 says that it was refused."""

    def __call__(self, *words: str, **options: object) -> Ran:
        """Run an attack; return what came of it."""
        return self.run("/bin/attack", *words, **options)


def refused(ran: Ran) -> bool:
    """Say whether an attack ran and was refused; one that did not even start proves nothing."""
    return ran.code == 1 and "reached" not in ran.out


def changed(attack: Attack, files: str) -> str:
    """Return which of `files` a step may give a mode or times: those that they have, in case a wall fell."""
    ran = attack.run(
        f"for file in {files}; do"
        ' chmod $(stat -c %a "$file") "$file" 2>&- && echo "mode of $file";'
        ' touch -c -r "$file" "$file" 2>&- && echo "times of $file"; done; exit 9'
    )
    assert ran.code == 9
    return ran.out
