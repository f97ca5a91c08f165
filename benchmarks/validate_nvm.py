"""ReRAM, PCM and gain-cell tiers against published chips and simulators: rates, energies, silicon and writing.

    python benchmarks/validate_nvm.py

Each chip stands with its components as they are, and where one constant was calibrated to it, again with that; figures
marked "from memory" were not checked against the paper again.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
from validating import Row

from h3c.compiler.chips.load import load_chip
from h3c.runtime_sim.chip import Chip
from h3c.runtime_sim.components.cells import Cell, named_cells
from h3c.runtime_sim.components.converters import adc
from h3c.runtime_sim.cost import closed_form_ps, total_energy_pj
from h3c.runtime_sim.kinds.pcm import Pcm
from h3c.runtime_sim.kinds.reram import ReRam
from h3c.runtime_sim.kinds.reram_voltage import VoltageReRam
from h3c.runtime_sim.kinds.tiled import TiledArrays
from h3c.runtime_sim.product import Product, plain_product

MEMORY = "from memory"
ISAAC = f"ISAAC, ISCA'16 ({MEMORY})"
PUMA = "PUMA, ASPLOS'19, abstract"
PUMA_TABLE = f"PUMA, ASPLOS'19 ({MEMORY})"
HERMES = "HERMES 64-core, Nature Electronics 2023, abstract"
NEURRAM = "NeuRRAM, Nature 2022, as in cimloop wan_nature_2022"
NEUROSIM = "DNN+NeuroSim 1.3, run with synthetic traces"

NEURRAM_POINTS = {  # (input, output) bits: TOPS, TOPS/W
    (1, 3): (2.1223, 43.079),
    (2, 4): (1.7931, 40.334),
    (3, 5): (1.1654, 23.091),
    (4, 6): (0.74387, 15.954),
    (5, 7): (0.52541, 11.032),
    (6, 8): (0.41772, 8.2572),
    (7, 9): (0.34387, 7.7500),
    (8, 10): (0.26387, 6.4374),
}
# VGG8, 8 bits, layer by layer: (vectors, k, n), uJ of its dynamic energy
VGG8 = (
    ((1024, 27, 128), 1.22544),
    ((1024, 1152, 128), 13.5338),
    ((256, 1152, 256), 5.70774),
    ((256, 2304, 256), 10.726),
    ((64, 2304, 512), 3.87398),
    ((64, 4608, 512), 7.50438),
    ((1, 8192, 1024), 0.685021),
    ((1, 1024, 10), 0.00602982),
)


def tier_of(chip: str, name: str) -> TiledArrays:
    """A tier of components of a chip that ships with h3c."""
    return cast(TiledArrays, load_chip(chip).tier(name))


def changed(tier: Any, **fields: Any) -> Any:
    """The same tier with other fields."""
    return tier.model_copy(update=fields)


def with_and_without(tier: TiledArrays) -> tuple[tuple[TiledArrays, str], ...]:
    """The tier with its components as they are, and with its calibrated constant; each with what was calibrated."""
    return (changed(tier, adc_energy_scale=1.0), ""), (tier, f"adc_energy_scale {tier.adc_energy_scale}")


def full_watts(tier: TiledArrays) -> float:
    """All arrays and parts at full rate."""
    return float(sum(tier.full_powers_mw.values())) / 1000


def peak_tops(tier: Any) -> float:
    """10^12 operations a second of a full tier, a MAC being two."""
    macs = tier.arrays * tier.array_rows * tier.weight_cols
    return 2 * macs / float(tier.figures.operation_ns) / 1000


def operation_nj(tier: Any) -> float:
    """One operation of one full array."""
    one, rows, outputs = tier.figures, tier.array_rows, tier.weight_cols
    rows_pj = rows * (one.line_pj + one.dac_pj)
    return float(rows_pj + outputs * (one.digital_pj + one.adc_pj) + rows * outputs * one.weight_pj) / 1000


def tops_per_w(tier: Any) -> float:
    """Of full arrays alone, without leakage."""
    return 2 * tier.array_rows * tier.weight_cols / operation_nj(tier) / 1000


def isaac() -> Iterator[Row]:
    """The roll-up of its table of components."""
    tier = tier_of("isaac", "reram")
    summed = "the sum of the paper's own components: a check of the roll-up, no prediction"
    tiles_mm2 = tier.area_mm2 - float(tier.areas_mm2["hypertransport"])
    yield Row("isaac", "peak rate", "TOPS", 41.3, peak_tops(tier), ISAAC, "from structure and times alone")
    yield Row("isaac", "area", "mm2", 85.4, tier.area_mm2, ISAAC, summed)
    yield Row("isaac", "area of a tile", "mm2", 0.372, tiles_mm2 / tier.tiles, ISAAC, summed)
    yield Row("isaac", "rate by area", "GOPS/mm2", 479, 1000 * peak_tops(tier) / tier.area_mm2, ISAAC, summed)
    why = f"{summed}; 2 mW an ADC is 1.667 pJ at 1.2 GS/s, but 128 columns in 100 ns take 1.28 GS/s: 2.13 mW"
    for each, scale in with_and_without(tier):
        tile_w = (full_watts(each) - 10.4) / tier.tiles
        yield Row("isaac", "power at full rate", "W", 65.8, full_watts(each), ISAAC, why, scale)
        yield Row("isaac", "power of a tile", "W", 0.330, tile_w, ISAAC, why, scale)


def puma() -> Iterator[Row]:
    """The roll-up of its components, a matrix product, and writing a crossbar."""
    tier = tier_of("puma", "reram")
    why = "52.3 TOPS would be a product each 1.38 us; components give 16 cycles of 100 ns, the paper itself 2304 ns"
    yield Row("puma", "peak rate", "TOPS", 52.3, peak_tops(tier), PUMA_TABLE, why)
    summed = "the sum of puma-simulator's components, where its table and the paper's differ those of the paper"
    yield Row("puma", "area", "mm2", 90.6, tier.area_mm2, PUMA_TABLE, summed)
    yield Row("puma", "rate by area", "GOPS/mm2", 577, 1000 * peak_tops(tier) / tier.area_mm2, PUMA, "see peak rate")
    for each, scale in with_and_without(tier):
        watts = full_watts(each)
        yield Row("puma", "power at full rate", "W", 62.5, watts, PUMA_TABLE, summed, scale)
        yield Row("puma", "rate by power", "GOPS/W", 837, 1000 * peak_tops(tier) / watts, PUMA, "see peak rate", scale)
    slow = changed(tier, read_ns=128.0, fill_cycles=2)
    note = (
        "16 input bits and two cycles of filling, 128 ns each (puma-simulator's crossbar table; its inner product: 100)"
    )
    yield Row(
        "puma",
        "128 x 128 product, 16 bits",
        "ns",
        2304,
        float(slow.figures.operation_ns),
        PUMA_TABLE,
        note,
        "fill_cycles 2",
    )
    note = (
        "43.97 nJ are 19.09 mW for all of 2304 ns; as priced, converters work for the 16 cycles of the input bits only"
    )
    for each, scale in with_and_without(tier):
        unit_mw = 1000 * unit_nj(each) / float(each.figures.operation_ns)
        yield Row("puma", "power of a matrix unit", "mW", 43.97e3 / 2304, unit_mw, PUMA_TABLE, "", scale)
        yield Row("puma", "128 x 128 product, 16 bits", "nJ", 43.97, unit_nj(each), PUMA_TABLE, note, scale)
    simulator = "puma-simulator constants.py"
    crossbar_us = tier.array_rows * float(tier.figures.write_row_ns) / 1000
    crossbar_nj = 128 * 16 * float(tier.figures.write_weight_pj) / 8 * 8 / 1000
    yield Row("puma", "writing a crossbar", "us", 10.97, crossbar_us, simulator, "by construction", "the cell's write")
    yield Row("puma", "writing a crossbar", "nJ", 21.1, crossbar_nj, simulator, "by construction", "the cell's write")


def unit_nj(tier: TiledArrays) -> float:
    """One product of one of PUMA's matrix units: its crossbars, converters, registers and adders, without its core."""
    own = ("input_memory", "output_memory", "sample_hold", "shift_add_registers")
    return operation_nj(changed(tier, tile_parts={name: tier.tile_parts[name] for name in own}))


def hermes(phases: int, **fields: Any) -> Pcm:
    """One core of HERMES: the tiles of lionheart at the clock and in the shape of the silicon."""
    core = tier_of("lionheart", "pcm")
    own = {"arrays": 1, "tiles": 1, "array_cols": 256, "pulse_clock_ghz": 1.0, "input_phases": phases}
    return changed(core, **(own | fields))


def pcm() -> Iterator[Row]:
    """The HERMES core and chip, and the 34-tile chip from the same constants."""
    fit, overhead = "adc_energy_pj 44.7, to one phase", "phase_overhead_ns 3, to both"
    for phases, ns, efficiency in ((1, 133, 9.76), (4, 521, 2.48)):
        core = hermes(phases)
        note = "127 clocks of 1 ns and 3 ns a phase"
        yield Row(
            "hermes",
            f"product of a core, {phases} phase",
            "ns",
            ns,
            float(core.figures.operation_ns),
            HERMES,
            note,
            overhead,
        )
        free = hermes(phases, adc_model="murmann")
        note = "the survey's best converters: a whole core needs its timers, references and digital post-processing"
        yield Row("hermes", f"efficiency, {phases} phase", "TOPS/W", efficiency, tops_per_w(free), HERMES, note)
        note = (
            "by construction" if phases == 1 else "predicted: converters and drivers work in all phases, cells in one"
        )
        yield Row("hermes", f"efficiency, {phases} phase", "TOPS/W", efficiency, tops_per_w(core), HERMES, note, fit)
    yield Row("hermes", "rate of 64 cores, 1 phase", "TOPS", 63.1, 64 * peak_tops(hermes(1)), HERMES, "", overhead)
    yield Row("hermes", "rate of 64 cores, 4 phases", "TOPS", 16.1, 64 * peak_tops(hermes(4)), HERMES, "", overhead)
    core = hermes(1)
    by_area = peak_tops(core) / core.area_mm2
    source = "HERMES core, JSSC'22, abstract"
    yield Row("hermes", "rate by area", "TOPS/mm2", 1.59, by_area, source, "by construction", "area of a cell")
    tile = hermes(1, array_rows=512, array_cols=512)
    note = (
        "predicted peak of a 512 x 512 tile; published is sustained on a speech network, with idle tiles and transfers"
    )
    source = "IBM 34-tile chip, Nature 2023, abstract"
    yield Row("ibm-34-tile", "efficiency", "TOPS/W", 12.4, tops_per_w(tile), source, note, f"hermes: {fit}")


def neurram(input_bits: int, output_bits: int) -> VoltageReRam:
    """48 cores of NeuRRAM at so many bits; circuits as accelergy-library wan/components.csv and cimloop have them."""
    fields: dict[str, Any] = {
        "arrays": 48,
        "array_rows": 128,
        "array_cols": 256,
        "cell_bits": 4,
        "weight_bits": 4,
        "write_ports": 48,
        "input_bits": input_bits,
        "output_bits": output_bits,
        "adc_bits": output_bits,
        "cell": "neurram",
        "technology_nm": 130.0,
        "integrate_ns": 270.0,
        "step_ns": 300.0,
        "phase_ns": 300.0,
        "sample_pj": 1.2,
        "integrate_pj": 0.25,
        "step_pj": 0.4,
        "word_line_cell_ff": 2.1,
        "word_line_driver_ff": 48.0,
        "word_line_v": 1.8,
        "neuron_area_um2": 1270.0,
        "array_area_um2": 0.6 * 1270 * 256 / 0.28,
        "leakage_mw": 0.0,
        "link_in_bytes_per_ns": 1.0,
        "link_out_bytes_per_ns": 1.0,
        "link_energy_pj_per_bit": 0.0,
    }
    return VoltageReRam.model_validate(fields)


def voltage() -> Iterator[Row]:
    """NeuRRAM at eight pairs of bits: nothing is calibrated here, though cimloop's circuits were made for this chip."""
    note = "circuits and their steps as cimloop has them for this chip"
    for (inputs, outputs), (tops, efficiency) in NEURRAM_POINTS.items():
        tier = neurram(inputs, outputs)
        yield Row("neurram", f"rate at {inputs}, {outputs} bits", "TOPS", tops, peak_tops(tier), NEURRAM, note)
        yield Row(
            "neurram", f"efficiency at {inputs}, {outputs} bits", "TOPS/W", efficiency, tops_per_w(tier), NEURRAM, note
        )


def resnet50() -> Iterator[Product]:
    """The 53 convolutions and the classifier of ResNet-50 at 224 x 224 (He et al., CVPR'16)."""
    yield plain_product(112 * 112, 147, 64)
    width = 64
    for blocks, inner, side in ((3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7)):
        for block in range(blocks):
            entry = side if inner == 64 or block else 2 * side
            yield plain_product(entry * entry, width, inner)
            yield plain_product(side * side, 9 * inner, inner)
            yield plain_product(side * side, inner, 4 * inner)
            if not block:
                yield plain_product(side * side, width, 4 * inner)
            width = 4 * inner
    yield plain_product(1, 2048, 1000)


def dynaplasia() -> Iterator[Row]:
    """The peak of the arrays, and what a whole network leaves of it."""
    source = "DynaPlasia, JSSC 59(1) 2024, abstract"
    chip = load_chip("dynaplasia")
    tier = changed(tier_of("dynaplasia", "edram"), weight_bits=4, input_bits=4)
    yield Row("dynaplasia", "peak rate, 4 bits", "TOPS", 19.5, peak_tops(tier), source, "by construction", "read_ns 63")
    yield Row("dynaplasia", "area", "mm2", 20.25, chip.area_mm2, source, "by construction", "area of the periphery")
    for each, scale in with_and_without(tier):
        watts = full_watts(each) + each.static_power_mw / 1000
        note = "circuits are unpublished: ZigZag's converter and lines at 28 nm stand in"
        yield Row("dynaplasia", "peak efficiency, 4 bits", "TOPS/W", 56.0, peak_tops(each) / watts, source, note, scale)
    note = (
        "arrays filled in part, buffer, links, rewriting, static power; what the silicon counts is unpublished: "
        "off-chip reads of all weights for one image would alone be thrice that, so none are in, nor digital operations"
    )
    yield Row(
        "dynaplasia", "ResNet-50 over peak", "", 0.527, system_ratio(chip, tier), source, note, "as peak efficiency"
    )


def system_ratio(chip: Chip, tier: TiledArrays) -> float:
    """Efficiency on ResNet-50 over that of full arrays."""
    energy_pj = time_ns = macs = 0.0
    for product in resnet50():
        n = product.total_outputs
        run, write = tier.mvm("edram", chip, product, n, 1), tier.program("edram", chip, product, n, 1)
        parts = {**run.energy_pj}
        energy_pj += sum(float(each) for name, each in parts.items() if name != "dram")
        energy_pj += sum(float(each) for name, each in write.energy_pj.items() if name != "dram")
        copies = max(1, tier.arrays // int(tier.arrays_needed(product, n)))
        time_ns += float(closed_form_ps(tier.mvm("edram", chip, product, n, copies))) / 1000
        macs += product.macs()
    energy_pj += time_ns * (tier.static_power_mw + chip.buffer.static_power_mw + chip.digital.static_power_mw)
    return macs / energy_pj / (tops_per_w(tier) / 2)


def neurosim_tier() -> ReRam:
    """DNN+NeuroSim's default array: 22 nm, 128 x 128, 2 bits a cell, 5 bits of ADC for 8 columns."""
    tier = cast(ReRam, tier_of("isaac", "reram"))
    # Ones among the inputs' bits: counted in traces made as NeuroSim's were. No DAC, but a word line of 128 cells of
    # 12 F at 0.2 fF/um and 0.1 fF a gate. Sense amplifier: 1.7 uW a level (MultilevelSenseAmp.cpp, LP) for 1 ns.
    cell = Cell.model_validate({**named_cells()["neurosim-rram"], "read_activity": 0.182})
    sar = adc("isaac", 5, 0.5, 22.0, 0.8)
    fields: dict[str, Any] = {
        "arrays": 4048,
        "tiles": 253,
        "weight_bits": 8,
        "input_bits": 8,
        "output_bits": 8,
        "cell": cell,
        "dac_model": "zigzag",
        "line_pj": 0.0125,
        "adc_model": "measured",
        "adc_bits": 5,
        "adc_energy_pj": 0.0017 * 31,
        "adc_area_um2": float(sar.area_um2),
        "adc_energy_scale": 1.0,
        "adc_rate_gs_per_s": 0.5,
        "columns_per_adc": 8,
        "technology_nm": 22.0,
        "supply_v": 0.8,
        "tile_parts": {},
        "chip_parts": {},
    }
    return changed(tier, **fields)


def layer_energies_uj(tier: TiledArrays, shapes: Sequence[tuple[int, int, int]]) -> list[float]:
    """Dynamic energy of each layer with its activations through the tier's links and buffer (8 bits)."""
    chip = load_chip("isaac")
    works = (tier.mvm("reram", chip, plain_product(*shape), shape[2], 1) for shape in shapes)
    return [float(total_energy_pj(work)) / 1e6 for work in works]


def neurosim() -> Iterator[Row]:
    """Another simulator, layer by layer."""
    shapes, published = [shape for shape, _ in VGG8], [uj for _, uj in VGG8]
    tier = neurosim_tier()
    energies = layer_energies_uj(tier, shapes)
    note = "cells, sense amplifiers and word lines by its own formulas; adders, links and buffer are ISAAC's"
    yield Row("neurosim-vgg8", "dynamic energy", "uJ", 43.26, sum(energies), NEUROSIM, note)
    yield Row("neurosim-vgg8", "rank correlation of layers", "", 1.0, ranks(energies, published), NEUROSIM)
    for number, (own, theirs) in enumerate(zip(energies, published, strict=True), 1):
        yield Row("neurosim-vgg8", f"dynamic energy of layer {number}", "uJ", theirs, own, NEUROSIM, note)
    note = "ADC and cells alone; of 58.7 mm2, 32.7 are wires, muxes, decoders, adders and buffers of its own circuits"
    yield Row("neurosim-vgg8", "area of cells and ADC", "mm2", 24.53 + 1.54, tier.area_mm2, NEUROSIM, note)


def ranks(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's correlation of two lists without ties."""
    order = [np.argsort(np.argsort(each)) for each in (a, b)]
    return float(np.corrcoef(order[0], order[1])[0, 1])


def coupled() -> Iterator[Row]:
    """ALPINE's gain of tiles over the core: what the chosen core gives, no more."""
    chip = load_chip("lionheart")
    product = plain_product(256, 256, 255)
    on_tile, on_core = (chip.tier(name).mvm(name, chip, product, 255, 1) for name in ("pcm", "digital"))
    faster = float(closed_form_ps(on_core) / closed_form_ps(on_tile))
    leaner = float(total_energy_pj(on_core) / total_energy_pj(on_tile))
    source = "ALPINE: up to, over SIMD ARM"
    note = "one layer that fills a tile, where published are whole networks; the core is chosen: a check of order alone"
    yield Row("lionheart", "speed-up of a tile", "", 20.5, faster, source, note)
    yield Row("lionheart", "energy gain of a tile", "", 20.8, leaner, source, note)


NOT_REPRODUCED = {
    "prime": "no numbers are printed for it; its energies are chosen",
    "mnsim": "its networks' layers are its own, and its areas (1390 mm2 for VGG8) are not of a chip",
    "512 clusters (20.2 TOPS)": "an end-to-end figure of ResNet-18: peak of such tiles is 25 times that",
    "alpine, lionheart": "the core's energy and clock are unpublished",
}
"""Chips without a row that could fail, and why."""


def rows() -> list[Row]:
    """All figures."""
    return [*isaac(), *puma(), *pcm(), *voltage(), *dynaplasia(), *neurosim(), *coupled()]


if __name__ == "__main__":
    for row in rows():
        print(
            f"{row.chip:15} {row.figure:30} {row.published:9.4g} {row.modelled:9.4g} {row.unit:9} {row.error:+7.1%}  "
            f"{row.calibrated}"
        )
    for chip, reason in NOT_REPRODUCED.items():
        print(f"not reproduced: {chip}: {reason}")
