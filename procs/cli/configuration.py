"""Where the commands get the configuration from. The one place that loads it for them, and pydantic with it.

Owns whose configuration counts: the named one, that of the running processes, the caller's. Changes nothing.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from common.runtime.paths import Paths, make_paths
from procs.cli.stack import own_stack, read_meeting, supervisor_pid

if TYPE_CHECKING:
    from common.runtime.config import Config


def load_config(file: Path | None = None, env: Mapping[str, str] | None = None) -> "Config":
    """Read file and environment; raises ConfigError with every problem, its place and its cure."""
    from common.runtime import config

    return config.load_config(file, env)


def configured(config_file: Path | None) -> "tuple[Config, Paths]":
    """The configuration that was named, that of the running processes, or the caller's own."""
    if config_file is None and not os.environ.get("LAGGARD_RUN_DIR"):
        stack = own_stack()
        meeting = read_meeting(stack) if supervisor_pid(stack) is not None else None
        if meeting is not None:
            config = load_config(Path(meeting.config_file) if meeting.config_file else None)
            return config, make_paths(meeting.state_dir, meeting.run_dir, config.paths.credentials_dir)
    config = load_config(config_file)
    return config, make_paths(config.paths.state_dir, config.paths.run_dir, config.paths.credentials_dir)
