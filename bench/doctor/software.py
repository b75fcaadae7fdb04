"""Python, PyTorch, torchvision, the driver, the compiler and the C library: versions, and whether they fit together."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from bench.device import environment
from bench.doctor.finding import Finding, Question, Verdict
from bench.runs import provenance

SECTION = "software"
NVIDIA = Path("/proc/driver/nvidia/version")
OLDEST_DRIVER = {11: 450, 12: 525, 13: 580}
"""Major version of CUDA -> oldest driver that runs it (NVIDIA, CUDA Compatibility, minor version compatibility)."""
SOURCE = """#include <Python.h>
#include <cmath>
#include <omp.h>
extern "C" double look(double *x, long n) {
    double sum = 0;
    #pragma omp parallel for reduction(+ : sum)
    for (long i = 0; i < n; i++) sum += std::sin(x[i]);
    return sum + omp_get_max_threads() + (Py_None == nullptr);
}
"""
"""What PyTorch's compiler writes is of this kind: C++ with OpenMP, and Python's headers."""


def _line(
    name: str, verdict: Verdict, found: str, remedy: str = "", needed: bool = False, seconds: float | None = None
) -> Finding:
    return Finding(SECTION, name, verdict, found, remedy, needed, seconds)


def check_python(question: Question) -> Iterator[Finding]:
    """Python's version, against what pyproject.toml asks for."""
    here = f"{platform.python_version()}, {platform.machine()}"
    project = tomllib.loads((provenance.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = project["requires-python"]
    least = tuple(int(number) for number in re.findall(r"\d+", wanted))
    if sys.version_info[: len(least)] < least:
        yield _line("Python", "fail", here, f"install Python {wanted}", needed=True)
    else:
        yield _line("Python", "ok", here)


def check_torch(question: Question) -> Iterator[Finding]:
    """Whether torch and torchvision can be imported, and whether they are a pair."""
    try:
        import torch
    except Exception as error:  # a broken installation fails in many ways
        yield _line("torch", "fail", _short(error), "pip install -c constraints.txt .", needed=True)
        return
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    yield _line("torch", "ok", f"{torch.__version__}, built with {cuda}", needed=True)
    try:
        ours, wants = metadata.version("torchvision"), metadata.requires("torchvision") or []
    except metadata.PackageNotFoundError:
        yield _line("torchvision", "fail", "not installed", "pip install -c constraints.txt .", needed=True)
        return
    if said := mismatch(str(torch.__version__), ours, wants):
        yield _line("torchvision", "fail", f"{ours}: {said}", "pip install -c constraints.txt .", needed=True)
        return
    try:
        import torchvision  # noqa: F401
    except Exception as error:
        remedy = "install torch and torchvision again, both from one index"
        yield _line("torchvision", "fail", f"{ours}: {_short(error)}", remedy, needed=True)
        return
    yield _line("torchvision", "ok", f"{ours}, fits torch", needed=True)


def mismatch(torch: str, torchvision: str, requirements: list[str]) -> str | None:
    """Why these two versions are no pair; None where they are. `requirements` are torchvision's."""
    number, _, build = torch.partition("+")
    pinned = next((found[1] for each in requirements if (found := re.match(r"torch \(?==([\w.]+)", each))), None)
    if pinned and pinned != number:
        return f"made for torch {pinned}, and torch is {number}"
    other = torchvision.partition("+")[2]
    if build and other and build != other:
        return f"built for {other}, and torch for {build}"
    return None


def check_driver(question: Question) -> Iterator[Finding]:
    """NVIDIA's driver, and whether torch can use it."""
    import torch

    driver = next(iter(provenance._nvidia_smi("driver_version")), None)
    if driver is None and not NVIDIA.exists():
        yield _line("CUDA driver", "skip", "no NVIDIA driver on this machine")
        return
    found = f"driver {driver or 'unknown'}"
    if torch.version.cuda is None:
        remedy = "install a torch with CUDA: https://pytorch.org/get-started"
        yield _line("CUDA driver", "fail", f"{found}, and torch is built without CUDA", remedy, needed=True)
    elif said := too_old(driver, torch.version.cuda):
        yield _line(
            "CUDA driver", "fail", f"{found}: {said}", f"update it, or install a torch for {found}", needed=True
        )
    elif not torch.cuda.is_available():
        remedy = "look at nvidia-smi and CUDA_VISIBLE_DEVICES; in a container, pass the GPU to it"
        yield _line("CUDA driver", "fail", f"{found}, and torch finds no GPU", remedy, needed=True)
    else:
        yield _line("CUDA driver", "ok", f"{found}, fits CUDA {torch.version.cuda}", needed=True)


def too_old(driver: str | None, cuda: str) -> str | None:
    """Why a driver is too old for a version of CUDA; None where it is not, or where that is unknown."""
    least = OLDEST_DRIVER.get(int(cuda.split(".")[0]))
    number = re.match(r"\d+", driver or "")
    if least is None or number is None or int(number[0]) >= least:
        return None
    return f"CUDA {cuda} needs driver {least} or newer"


def check_compiler(question: Question) -> Iterator[Finding]:
    """Whether torch.compile's C++ compiler works here, and whether its paths have spaces."""
    from bench.training import execution

    name = os.environ.get("CXX", "g++")
    without = "nets run eagerly without it"
    if execution.compiler() is None:
        yield _line("compiler", "warn", f"no {name} on the path: {without}", "install g++ and python3-dev, or set CXX")
    elif said := complaint(name):
        remedy = (
            "install python3-dev" if "Python.h" in said else "install g++ with OpenMP, or set CXX to one that works"
        )
        yield _line("compiler", "fail", f"{name}: {said}", remedy, needed=True)
    else:
        yield _line("compiler", "ok", f"{_first_line(name, '--version')}; OpenMP and Python.h work")
    for what, path in spaced(compiler_paths()).items():
        remedy = {
            "cache": "export TORCHINDUCTOR_CACHE_DIR=/a/path/without/spaces",
            "TMPDIR": "export TMPDIR=/tmp",
        }.get(what, "install into a path without spaces, or give --execution eager")
        said = f"{what} is {path}: PyTorch's compiler fails on a path with a space"
        yield _line("compiler paths", "fail", said, remedy, needed=True)


def compiler_paths() -> Mapping[str, str]:
    """The folders that PyTorch hands to the compiler."""
    cache = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    return {"cache": cache} if cache else {"TMPDIR": tempfile.gettempdir()}


def spaced(paths: Mapping[str, str]) -> dict[str, str]:
    """Those of some paths that have a space in them."""
    return {name: path for name, path in paths.items() if re.search(r"\s", path)}


def complaint(compiler: str) -> str | None:
    """What a C++ compiler says against a file like those of torch.compile; None where it makes a library of it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "look.cpp").write_text(SOURCE, encoding="utf-8")
        include = sysconfig.get_paths()["include"]
        words = [compiler, "-shared", "-fPIC", "-fopenmp", f"-I{include}", "look.cpp", "-o", "look.so"]
        if sys.platform == "darwin":
            words[3:4] = ["-undefined", "dynamic_lookup", "-Xpreprocessor", "-fopenmp"]
        try:
            done = subprocess.run(
                words, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", timeout=60
            )
        except (OSError, subprocess.SubprocessError) as error:
            return _short(error)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
            return " ".join((lines or [f"ended with {done.returncode}"])[0].split())[:200]
    return None


def check_libraries(question: Question) -> Iterator[Finding]:
    """The C library and its memory settings, OpenMP and its threads."""
    import torch

    library, version = platform.libc_ver()
    if sys.platform != "linux" or library != "glibc":
        yield _line(
            "C library", "warn", f"{library or 'not glibc'} {version}".strip(), "use a Linux with glibc: faster"
        )
    else:
        yield from _settings(f"glibc {version}", os.environ)
    threads, cores = torch.get_num_threads(), provenance.cores()
    found = (
        f"{threads} threads of {openmp()} on {cores} cores, GOMP_SPINCOUNT {os.environ.get('GOMP_SPINCOUNT', 'unset')}"
    )
    if threads > cores:
        yield _line(
            "OpenMP", "warn", found, f"export OMP_NUM_THREADS={cores}: more threads than cores wait for each other"
        )
    elif threads < max(1, cores // 2):
        yield _line("OpenMP", "warn", found, "unset OMP_NUM_THREADS to use all cores")
    else:
        yield _line("OpenMP", "ok", found)


def _settings(library: str, variables: Mapping[str, str]) -> Iterator[Finding]:
    """Whether glibc keeps memory between iterations, as runs set it."""
    given = variables.get(environment.NAME)
    if given is None:
        yield _line(
            "C library", "warn", f"{library}, {environment.NAME} is not set", f"runs set it; here {environment.NAME}"
        )
    elif given != environment.VALUE:
        remedy = f"unset {environment.NAME} to train up to a tenth faster, unless it was set on purpose"
        yield _line("C library", "warn", f"{library}, {environment.NAME}={given}", remedy)
    else:
        yield _line("C library", "ok", f"{library}, keeps memory between iterations")


def openmp() -> str:
    """The OpenMP library of torch: `libgomp` or another."""
    try:
        names = {Path(line.split()[-1]).name for line in _maps() if "omp" in line}
    except OSError:
        return "OpenMP"
    found = sorted(name.split(".so")[0].split("-")[0] for name in names if re.match(r"lib(g|i|)omp", name))
    return " and ".join(dict.fromkeys(found)) or "OpenMP"


def _maps() -> list[str]:
    return Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()


def _first_line(program: str, *arguments: str) -> str:
    path = shutil.which(program) or program
    said = subprocess.run([path, *arguments], capture_output=True, encoding="utf-8", errors="replace", timeout=30)
    return (said.stdout.splitlines() or [program])[0]


def _short(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


CHECKS: tuple[Callable[[Question], Iterator[Finding]], ...] = (
    check_python,
    check_torch,
    check_driver,
    check_compiler,
    check_libraries,
)
