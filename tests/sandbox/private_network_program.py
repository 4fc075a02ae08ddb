"""Runs a command on a private network that the program named on the command line connects; prints what came of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from runtime import private_network
from runtime.errors import SandboxError
from runtime.launch import Launcher
from runtime.spec import Network
from tests.sandbox.harness import Sandbox, walls

program, directory, image, script = sys.argv[1:]
private_network.PROGRAMS = (program,)
launcher = Launcher.fork()
try:
    launcher.open(walls())
    ran = Sandbox(launcher, Path(directory), Path(image)).run(script, network=Network.PRIVATE)
    json.dump({"out": ran.out, "err": ran.err, "code": ran.code}, sys.stdout)
except SandboxError as error:
    json.dump({"refused": error.message, "hint": error.hint}, sys.stdout)
finally:
    launcher.close()
