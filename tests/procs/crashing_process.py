"""The recorder, which dies over and over once a file ``crash`` in the run directory says how."""

import json
import os
import runpy
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

LIVES_S = {"at once": 0.1, "late": 3.6}
"""The second one is RUNNING by then, so supervisord starts it again without any back-off."""


def main() -> None:
    sys.stdout.write(json.dumps({"event": "start", "ts": datetime.now(UTC).isoformat()}) + "\n")
    sys.stdout.flush()
    how = Path(os.environ["LAGGARD_RUN_DIR"]) / "crash"
    if how.exists():
        time.sleep(LIVES_S[how.read_text()])
        sys.exit(1)
    sys.argv = ["procs.recorder"]
    runpy.run_module("procs.recorder", run_name="__main__")


if __name__ == "__main__":
    main()
