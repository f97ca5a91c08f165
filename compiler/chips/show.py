"""A chip for people: what it could do at best, then its own description with its sources."""

from textwrap import wrap

from ...runtime_sim.chip import Chip
from ...runtime_sim.kinds.registry import kind_name
from ...runtime_sim.peak import Peak, holding, peak
from ..front import table
from ..summary import energy_text, number_text, time_text
from .load import chip_text, load_chip

HEAD = ("tier", "kind", "bits", "TOPS", "TOPS/W", "arrays", "weights", "write all", "energy", "endurance", "mm2", "mW")


def show(target: str) -> str:
    """The derived figures of a chip, and its file."""
    chip = load_chip(target)
    lines = [
        f"{chip.name}: {chip.description}",
        table(_rows(chip), (False, False, *[True] * (len(HEAD) - 2))),
        f"  chip: {_tops(chip)}, {_capacity(chip)}, {chip.area_mm2:.4g} mm2, {chip.static_power_mw:.4g} mW standing by",
        "  A MAC is two operations. TOPS/W has the tier's static power in it, not links and memories; mW is static "
        'power;\n  "write all" fills every array from off-chip memory.',
        *_conventions(chip),
        "",
        chip_text(target).rstrip(),
    ]
    return "\n".join(lines)


def _conventions(chip: Chip) -> list[str]:
    """What its tiers say of their figures, wrapped."""
    said = [f"{name}: {text}" for name, tier in chip.tiers.items() if (text := tier.conventions())]
    return [line for text in said for line in wrap(text, 118, initial_indent="  ", subsequent_indent="  ")]


def _rows(chip: Chip) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [HEAD]
    for name, tier in chip.tiers.items():
        for number, precision in enumerate(tier.precisions()):
            best = peak(chip, name, precision.name)
            rates = (precision.name, *(("", "") if best is None else (f"{best.tops:.4g}", f"{best.tops_per_w:.4g}")))
            if number:
                rows.append(("", "", *rates, *[""] * (len(HEAD) - 2 - len(rates))))
            else:
                silicon = (f"{tier.area_mm2:.4g}", f"{tier.static_power_mw:.4g}")
                rows.append((name, kind_name(tier), *rates, *_held(chip, name), *silicon))
    return rows


def _held(chip: Chip, name: str) -> tuple[str, str, str, str, str]:
    held = holding(chip, name)
    if held is None:
        return ("", "", "", "", "")
    endurance = "unlimited" if held.endurance_writes is None else f"{held.endurance_writes:.0e}"
    times = (time_text(held.write_ns), energy_text(held.write_energy_pj))
    return (str(chip.tiers[name].arrays), number_text(held.weights), *times, endurance)


def _tops(chip: Chip) -> str:
    """The peak of all tiers together, each in its first mode."""
    peaks: list[Peak] = [each for name in chip.tiers if (each := peak(chip, name)) is not None]
    tops = sum(each.tops for each in peaks)
    watts = sum(each.tops / each.tops_per_w for each in peaks)
    return f"{tops:.4g} TOPS, {tops / watts if watts else float('inf'):.4g} TOPS/W"


def _capacity(chip: Chip) -> str:
    held = [holding(chip, name) for name in chip.tiers]
    weights = sum(each.weights for each in held if each is not None)
    return f"{number_text(weights)} weights held" if weights else "no weights held"
