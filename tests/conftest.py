"""Fixtures. Nothing here stands in for the real thing: where real data are needed and missing, a test skips and says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: threads that spin on a busy machine make tests crawl

import pytest

pytest_plugins = ["slurm_site", "harness_record"]

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the paper's numbers and real images, beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder `shared` beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def cifar10_folder() -> Path:
    """A folder that holds genuine CIFAR-10."""
    for folder in (SHARED / "data", ROOT / "data"):
        if (folder / "cifar-10-batches-py").is_dir():
            return folder
    pytest.skip("needs CIFAR-10: put cifar-10-batches-py into data/")


class Command:
    """`python bench/run.py ...` as a process, from another folder, with results and tables in a temporary one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results, self.tables = folder / "my results", folder / "my tables"

    def arguments(self, *arguments: object) -> list[str]:
        places = ["--results", str(self.results), "--tables", str(self.tables)]
        return [sys.executable, str(ROOT / "bench" / "run.py"), *map(str, arguments), *places]

    def __call__(self, *arguments: object, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.arguments(*arguments), capture_output=True, text=True, cwd=self.folder, timeout=300, **options
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.arguments(*arguments), cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)
