"""A runtime whose use ends the process that asks, as a broken kernel of minilite's would."""

from __future__ import annotations

import os
import signal

from tests.testing.candidates import Refuses


class Dies(Refuses):
    """Ends the fuzzer's worker, its parent."""

    def invoke(self) -> None:
        os.kill(os.getppid(), signal.SIGKILL)
