"""Photonic tiers against published figures: area and power of Lightening-Transformer and of its weight-static
baselines, its energy and latency for five transformers, and the peak figures of TeMPO.

    python benchmarks/validate_photonic.py

The published figures of Lightening-Transformer are those that its hardware simulator prints (github.com/zhuhanqing
/Lightening-Transformer at 7c3d4ad, unmodified); those of TeMPO are of its abstract (arXiv 2402.07393).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from validating import Row

from h3c.compiler.chips.load import load_chip
from h3c.runtime_sim.chip import Chip, chip_from_tree, chip_tree
from h3c.runtime_sim.cost import price
from h3c.runtime_sim.kinds.photonic_dynamic import PhotonicDynamic
from h3c.runtime_sim.kinds.photonic_static import PhotonicStatic
from h3c.runtime_sim.product import Product, plain_product

LT = "Lightening-Transformer hardware_simulator at 7c3d4ad"
TEMPO = "TeMPO, arXiv 2402.07393, abstract"

# tiles: mm2, and W at 4 and at 8 bits
LT_CHIPS = {4: (60.3006, 14.7526, 50.9352), 8: (112.8230, 28.0558, 95.9209)}
# (tiles, bits): mJ and us of one inference
LT_RUNS = {
    "DeiT-T": {
        (4, 4): (0.38430, 19.3532),
        (4, 8): (1.20547, 19.4372),
        (8, 4): (0.35994, 9.7260),
        (8, 8): (1.12895, 9.8140),
    },
    "DeiT-S": {
        (4, 4): (1.42061, 69.9941),
        (4, 8): (4.45248, 70.1621),
        (8, 4): (1.33014, 35.0925),
        (8, 8): (4.16975, 35.2685),
    },
    "DeiT-B": {
        (4, 4): (5.43715, 265.2789),
        (4, 8): (16.98198, 265.6149),
        (8, 4): (5.08917, 132.8269),
        (8, 8): (15.89785, 133.2009),
    },
    "BERT-B (128)": {
        (4, 4): (3.95167, 167.4469),
        (4, 8): (11.76653, 167.4629),
        (8, 4): (3.72974, 83.7509),
        (8, 8): (11.07587, 83.7849),
    },
    "BERT-L (320)": {
        (4, 4): (27.93732, 1513.4355),
        (4, 8): (90.54278, 1513.4575),
        (8, 4): (25.92061, 756.7519),
        (8, 8): (84.25594, 756.7959),
    },
}
# kind of mesh: mm2 in all, and meshes
LT_MESHES = {"interferometers": (60.5679, 8), "rings": (61.6682, 14)}


@dataclass(frozen=True)
class Transformer:
    """An encoder with one inference of `tokens` tokens; `patch`: elements of an image patch, 0 without an embedding."""

    tokens: int
    width: int
    heads: int
    blocks: int
    patch: int
    classes: int

    def products(self, bits: int) -> Iterator[tuple[int, Product]]:
        """(how often, product) of its matrix work, as Lightening-Transformer counts it."""
        tokens, width, head = self.tokens, self.width, self.width // self.heads
        for n, k in ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width)):
            yield self.blocks, plain_product(tokens, k, n, bits)
        for k, n in ((head, tokens), (tokens, head)):
            one = plain_product(tokens, k, n, bits)
            elements = {"input_elements": self.heads * tokens * k, "output_elements": self.heads * tokens * n}
            made = replace(one, groups=self.heads, batched=True, static=False, w_off_chip=False, **elements)
            yield self.blocks, made
        if self.patch:
            yield 1, plain_product(tokens - 1, self.patch, width, bits)
        yield 1, plain_product(1, width, self.classes, bits)


TRANSFORMERS = {
    "DeiT-T": Transformer(197, 192, 3, 12, 768, 1000),
    "DeiT-S": Transformer(197, 384, 6, 12, 768, 1000),
    "DeiT-B": Transformer(197, 768, 12, 12, 768, 1000),
    "BERT-B (128)": Transformer(128, 768, 12, 12, 0, 2),
    "BERT-L (320)": Transformer(320, 1024, 16, 24, 0, 2),
}


def lt_chip(tiles: int, bits: int) -> Chip:
    """LT-B (4 tiles) or LT-L (8 tiles, and twice the buffer) for one precision."""
    tree = chip_tree(load_chip("lightening-transformer"))
    mode = {"input_bits": bits, "weight_bits": bits, "output_bits": bits}
    tree["tiers"]["photonic"] |= {"tiles": tiles, "modes": [mode]}
    for field in ("size_bytes", "area_mm2", "static_power_mw"):
        tree["buffer"][field] *= tiles // 4
    return chip_from_tree(tree | {"activation_bits": bits}, f"lightening-transformer with {tiles} tiles")


def lt_tier(chip: Chip) -> PhotonicDynamic:
    """Its photonic tier."""
    tier = chip.tiers["photonic"]
    assert isinstance(tier, PhotonicDynamic)
    return tier


def run(chip: Chip, model: Transformer, bits: int) -> tuple[float, float]:
    """(mJ, us) of one inference's matrix work on the photonic tier, static power of the tier included."""
    latency_ns = energy_pj = 0.0
    for count, product in model.products(bits):
        one = price(chip, product, "photonic", product.n)
        latency_ns += count * float(one.latency_ps) * 1e-3
        energy_pj += count * float(one.energy_pj)
    energy_pj += lt_tier(chip).static_power_mw * latency_ns
    return energy_pj * 1e-9, latency_ns * 1e-3


def static_tier(mesh: str, arrays: int, bits: int = 4) -> PhotonicStatic:
    """A weight-static baseline of Lightening-Transformer: 12 x 12 meshes, two a laser."""
    rings = mesh == "rings"
    devices = {
        "laser": "on-chip-laser",
        "dac": "cap-dac-14g",
        "modulator": "ring-modulator" if rings else "eo-mzm",
        "splitter": "y-branch",
        "cell": "ring" if rings else "mems-mzi",
        "photodetector": "lt-photodetector",
        "amplifier": "tia",
        "adc": "sar-adc-10g",
        "layout": "ring-bank" if rings else "mesh",
        "adder": "isaac-adder-14nm",
        "local_buffer": "buffer-4kb",
        "core_buffer": "buffer-256b",
    }
    fields: dict[str, Any] = {
        **dict.fromkeys(("cell_bits", "weight_bits", "input_bits", "output_bits", "adc_bits"), bits),
        "mesh": mesh,
        "arrays": arrays,
        "array_rows": 12,
        "array_cols": 12,
        "arrays_per_laser": 2,
        "write_ports": 12 * arrays,
        "clock_ghz": 5.0,
        "devices": devices | ({"comb": "micro-comb"} if rings else {}),
        **dict.fromkeys(("link_in_bytes_per_ns", "link_out_bytes_per_ns"), 6777.0),
        "link_energy_pj_per_bit": 0.0575,
    }
    return PhotonicStatic.model_validate(fields)


def tempo_tier(temporal_accumulation: int, *, eased: bool) -> PhotonicDynamic:
    """TeMPO at 368.6 TOPS: 36,864 MACs a cycle at 5 GHz, as 6 tiles of 6 cores of 32 x 32."""
    devices = {
        "laser": "on-chip-laser",
        "dac": "cap-dac-14g",
        "modulator": "slow-light-mzm",
        "splitter": "y-branch",
        "shifter": "custom-shifter",
        "coupler": "custom-coupler",
        "photodetector": "measured-photodetector",
        "amplifier": "integrator",
        "adc": "sar-adc-10g",
        "adder": "isaac-adder-14nm",
        "local_buffer": "buffer-4kb",
        "core_buffer": "buffer-256b",
        "layout": "lt-node",
    }
    fields: dict[str, Any] = {
        "tiles": 6,
        "cores_per_tile": 6,
        "core_rows": 32,
        "core_cols": 32,
        "clock_ghz": 5.0,
        "temporal_accumulation": temporal_accumulation,
        "extinction_penalty": True,
        "laser_eased_by_accumulation": eased,
        "modes": [{"input_bits": 6, "weight_bits": 6, "output_bits": 6}],
        "devices": devices,
        **dict.fromkeys(("link_in_bytes_per_ns", "link_out_bytes_per_ns"), 1000.0),
        "link_energy_pj_per_bit": 0.15,
    }
    return PhotonicDynamic.model_validate(fields)


def tops_per_watt(tier: PhotonicDynamic) -> float:
    """Operations (two a MAC) a second and watt with all nodes at work in the first mode."""
    macs_per_ns = float(tier.nodes) * tier.wavelengths * tier.clock_ghz
    power_mw = float(tier.energy_pj_per_mac()) * macs_per_ns + tier.static_power_mw
    return 2 * macs_per_ns / power_mw  # operations a ns and mW


def _area_and_power() -> Iterator[Row]:
    without_digital = "tier and buffer; the simulator has no digital unit"
    for tiles, (area, *powers) in LT_CHIPS.items():
        name = "LT-B" if tiles == 4 else "LT-L"
        chip = lt_chip(tiles, 4)
        modelled = lt_tier(chip).area_mm2 + chip.buffer.area_mm2
        note = f"{without_digital}; it counts rings of shared modulators once a tile"
        yield Row(name, "area", "mm2", area, modelled, LT, note)
        for bits, power in zip((4, 8), powers, strict=True):
            chip = lt_chip(tiles, bits)
            parts = lt_tier(chip).power_by_component_mw().values()
            modelled = (float(sum(parts)) + chip.buffer.static_power_mw) * 1e-3
            yield Row(name, f"power at {bits} bits", "W", power, modelled, LT, without_digital)
    for mesh, (area, arrays) in LT_MESHES.items():
        buffer = 14.348352 * arrays / 8  # the simulator's own buffer, by its tiles of two meshes
        modelled = static_tier(mesh, arrays).area_mm2 + buffer
        note = "an adder an output instead of a weight; its total of interferometers leaves out their modulators"
        yield Row(f"LT baseline, {mesh}", "area", "mm2", area, modelled, LT, note)


def _runs() -> Iterator[Row]:
    why_latency = "attention: whole tiles and cores for each head, where the simulator shares them out over all heads"
    why_energy = "activations come from the buffer once, where the simulator reads them for each block of rows"
    for model, runs in LT_RUNS.items():
        for (tiles, bits), (energy, latency) in runs.items():
            modelled_energy, modelled_latency = run(lt_chip(tiles, bits), TRANSFORMERS[model], bits)
            name, what = "LT-B" if tiles == 4 else "LT-L", f"{model}, {bits} bits"
            yield Row(name, f"latency of {what}", "us", latency, modelled_latency, LT, why_latency)
            yield Row(name, f"energy of {what}", "mJ", energy, modelled_energy, LT, why_energy)


def _tempo() -> Iterator[Row]:
    structure = "6 x 6 cores of 32 x 32 at 5 GHz inferred from the rate; devices of SimPhony"
    one = tempo_tier(32, eased=True)
    tops = 2e-3 * float(one.nodes) * one.clock_ghz
    yield Row("TeMPO", "rate", "TOPS", 368.6, tops, TEMPO, f"{structure}, so this is no prediction")
    choices = "two choices: 32 cycles summed before a conversion, and light for the sum rather than for each cycle"
    yield Row("TeMPO", "efficiency, calibrated", "TOPS/W", 22.3, tops_per_watt(one), TEMPO, structure, choices)
    full_light = tops_per_watt(tempo_tier(32, eased=False))
    note = f"{structure}; 32 cycles summed, light for each cycle as in Lightening-Transformer's budget"
    yield Row("TeMPO", "efficiency, full light", "TOPS/W", 22.3, full_light, TEMPO, note)
    plain = tops_per_watt(tempo_tier(1, eased=False))
    yield Row("TeMPO", "efficiency, not calibrated", "TOPS/W", 22.3, plain, TEMPO, f"{structure}; no sum over time")
    yield Row("TeMPO", "density", "TOPS/mm2", 1.2, tops / one.area_mm2, TEMPO, structure)


def rows() -> list[Row]:
    """All lines; energy and latency of a run are of the matrix work, which is all but 1 % of the simulator's totals."""
    return [*_area_and_power(), *_runs(), *_tempo()]


def main() -> None:
    print("| chip | figure | published | modelled | error |\n|---|---|---|---|---|")
    for row in rows():
        told = f"{row.published:.4g} {row.unit} | {row.modelled:.4g} {row.unit}"
        print(f"| {row.chip} | {row.figure} | {told} | {row.error:+.1%} |")


if __name__ == "__main__":
    main()
