"""The summary: what h3c and h3c-sim report, as JSON (a contract, see docs/summary.md) and for people."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from xdsl.dialects.builtin import DictionaryAttr, FloatAttr, IntegerAttr, ModuleOp, StringAttr, TensorType
from xdsl.ir import Attribute

from ..dialects.text import unescape
from ..runtime_sim.chip import Chip
from ..runtime_sim.timing import Timing, name_of
from .front import table

Summary = dict[str, Any]

MODEL_KEYS = ("name", "operators", "matrix_operators", "macs", "weights")


def attribute_dict(module: ModuleOp, name: str) -> Mapping[str, Any]:
    """A module attribute that is a dictionary of numbers and texts, as plain data; empty where it is missing."""
    attribute = module.attributes.get(name)
    return {} if not isinstance(attribute, DictionaryAttr) else {k: _plain(v) for k, v in attribute.data.items()}


def _plain(value: Attribute) -> Any:
    match value:
        case StringAttr():
            return unescape(value.data)
        case FloatAttr() | IntegerAttr():
            return value.value.data
        case DictionaryAttr():
            return {key: _plain(inner) for key, inner in value.data.items()}
        case _:
            return None


def summarise(module: ModuleOp, chip: Chip, timing: Timing, seconds: Mapping[str, float]) -> Summary:
    """What is known of a plan that has been simulated. Prediction, bound and gap are those written in the plan."""
    model, solution = attribute_dict(module, "h3.model"), attribute_dict(module, "h3.solution")
    return {
        "model": {**{key: model.get(key) for key in MODEL_KEYS}, "unknown_shapes": unknown_shapes(module)},
        "target": chip.name,
        "strategy": solution.get("strategy"),
        "objective": solution.get("objective"),
        "latency_ns": timing.latency_ns,
        "period_ns": timing.period_ns,
        "energy_pj": timing.energy_pj,
        "components": dict(timing.components),
        "area_mm2": chip.area_mm2,
        "predicted": {
            "latency_ns": solution.get("predicted_latency_ns"),
            "energy_pj": solution.get("predicted_energy_pj"),
            "period_ns": solution.get("predicted_period_ns"),
        },
        "bound": solution.get("bound"),
        "gap": solution.get("gap"),
        "solver": {
            "status": solution.get("status"),
            "proven_of": solution.get("proven_of"),
            "kept": solution.get("kept"),
            "seconds": seconds.get("place-parts"),
        },
        "segments": timing.segments,
        "mode_switches": timing.mode_switches,
        "tiers": {
            name: {
                "mac_share": tier.mac_share,
                "utilisation": tier.utilisation,
                "energy_pj": tier.energy_pj,
                "arrays": tier.arrays,
                "rows_written": tier.rows_written,
                "executions_to_endurance": tier.executions_to_endurance,
            }
            for name, tier in timing.tiers.items()
        },
        "setup": {"latency_ns": timing.setup.latency_ns, "energy_pj": timing.setup.energy_pj},
        "seconds": dict(seconds),
        "quality": None,
        "generate": None,
    }


def unknown_shapes(module: ModuleOp) -> list[str]:
    """The nodes of digital work whose results have sizes that depend on data; they are timed with 1 for each."""
    nodes = {
        name_of(op): None
        for op in module.walk()
        if any(not isinstance(r.type, TensorType) or min(r.type.get_shape(), default=0) < 0 for r in op.results)
        and op.name not in ("onnx.NoValue", "builtin.module")
    }
    return list(nodes)


def to_json(summary: Summary) -> str:
    """The summary as it is written to a file."""
    return json.dumps(summary, indent=2, allow_nan=False) + "\n"


def for_people(summary: Summary) -> str:
    """The summary in a few lines."""
    model, predicted = summary["model"], summary["predicted"]
    lines = [
        f"{model['name']} on {summary['target']}: {model['operators']} operators, {model['matrix_operators']} of them "
        f"matrix work, {number_text(model['macs'])} MACs, {number_text(model['weights'])} weights",
        f"latency {time_text(summary['latency_ns'])}, energy {energy_text(summary['energy_pj'])} per execution "
        "(simulated); set-up "
        f"{time_text(summary['setup']['latency_ns'])}, {energy_text(summary['setup']['energy_pj'])}",
    ]
    if predicted["latency_ns"] is not None:
        bound = ""
        if summary["bound"] is not None:
            among = " of segments" if summary["solver"]["proven_of"] == "plans of segments" else ""
            bound = f", proven {_closeness(summary['gap'])} the best plan{among}"
        period = predicted["period_ns"]
        if summary["objective"] == "throughput" and period is not None:
            simulated = time_text(summary["period_ns"])
            lines.append(f"a stream takes {simulated} an execution (simulated; predicted {time_text(period)})")
        lines.append(
            f"predicted {time_text(predicted['latency_ns'])}, {energy_text(predicted['energy_pj'])} "
            f"by {summary['strategy']} for {summary['objective']}{bound}"
        )
    if (made := summary["generate"]) is not None:
        took = f"{time_text(made['latency_ns'])}, {energy_text(made['energy_pj'])}"
        lines.append(f"this is the last of {made['out']} tokens after {made['in']}; with prompt and all of them {took}")
    rows: list[Sequence[str]] = [("tier", "MACs", "busy", "arrays", "energy")]
    for name, tier in summary["tiers"].items():
        share, busy = f"{tier['mac_share']:.1%}", f"{tier['utilisation']:.1%}"
        rows.append((name, share, busy, str(tier["arrays"]), energy_text(tier["energy_pj"])))
    segments = summary["segments"]
    lines.append(f"{segments} segment{'s' if segments != 1 else ''}")
    return "\n".join([*lines, table(rows, (False, True, True, True, True))])


def _closeness(gap: float) -> str:
    """How near a plan is to the best one."""
    return f"within {gap:.2%} of" if gap <= 0.1 else f"at most {1 + gap:.3g} times"


def number_text(number: float | None) -> str:
    """A count with its thousands as a letter."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number is not None and number >= size:
            return f"{number / size:.4g} {unit}"
    return str(number)


def time_text(ns: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.4g} {unit}"
    return f"{ns:.4g} ns"


def energy_text(pj: float) -> str:
    """An energy in the unit that suits it."""
    for unit, size in (("J", 1e12), ("mJ", 1e9), ("uJ", 1e6), ("nJ", 1e3)):
        if pj >= size:
            return f"{pj / size:.4g} {unit}"
    return f"{pj:.4g} pJ"
