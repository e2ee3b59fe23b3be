"""What the runtime tests share: a short private run directory."""

from pathlib import Path

import pytest


@pytest.fixture
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Short, because unix socket paths are limited."""
    return tmp_path_factory.mktemp("r")
