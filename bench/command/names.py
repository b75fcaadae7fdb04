"""Names that a person types: tables by the paper's numbers, nets by the paper's labels, and the nearest to a misspelt one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from bench.errors import UserError
from models.arch import Arch, parse_arch

ALIASES = {
    "table1": "complexity",
    "table2": "imagenet_plain_vs_residual",
    "table3": "imagenet_shortcuts",
    "table4": "imagenet_multiscale",
    "table5": "imagenet_multiscale",
    "table6": "cifar_depth",
    "fig1": "cifar_depth",
    "fig4": "imagenet_plain_vs_residual",
    "fig6": "cifar_depth",
    "fig7": "layer_responses",
}
"""Table or figure of the paper -> the table that measures it."""


def table_of(text: str) -> str:
    """The table that a name means: `table6`, `Fig. 6` and `CIFAR_DEPTH` are cifar_depth; other texts stay as they are."""
    plain = re.sub(r"[\s._-]", "", text.lower()).replace("figure", "fig")
    return ALIASES.get(plain, text.lower())


def nearest(text: str, names: Iterable[str]) -> str:
    """`did you mean cifar_depth?` of a name that is nearly one of `names`; empty where none is near."""
    by_lower = {name.lower(): name for name in names}
    found = get_close_matches(text.lower(), by_lower, n=1, cutoff=0.7)
    return f"did you mean {by_lower[found[0]]}?" if found else ""


def matches(glob: str, arch: Arch) -> bool:
    """Whether a glob names a net, in any case.

    By its name (`imagenet-resnet-34-A`, `resnet-34-A`) or the paper's label (`ResNet-34`, `ResNet-34 A`).
    """
    return any(fits(glob, name) for name in (arch.name, arch.name.removeprefix("imagenet-"), arch.label, arch.title))


def fits(glob: str, name: str) -> bool:
    """Whether a glob fits a name, in any case."""
    return fnmatchcase(name.lower(), glob.lower())


def chosen(glob: str, archs: Sequence[Arch], table: str) -> list[Arch]:
    """The nets of a table that a glob names; none where it fits none.

    Raises UserError for a label without its shortcut option, where the table has several nets of that depth.
    """
    found = [arch for arch in archs if matches(glob, arch)]
    by_label = found and all(
        glob.lower() == arch.label.lower() != arch.name.removeprefix("imagenet-") for arch in found
    )
    if by_label and len(set(found)) > 1:
        nets = ", ".join(arch.name.removeprefix("imagenet-") for arch in dict.fromkeys(found))
        raise UserError(f"--only {glob} is {len(set(found))} nets of {table}: choose {nets}, or '{glob}-*' for all")
    return found


def arch_of(text: str) -> Arch:
    """The net of a name in any case, or of the paper's label of a CIFAR net, whose shortcuts are A there.

    Raises ValueError, saying what would work.
    """
    name = re.sub(r"(?<=\d-)[abc]\b", lambda match: match[0].upper(), text.lower())
    return parse_arch(f"{name}-A" if re.fullmatch(r"resnet-\d+", name) else name)
