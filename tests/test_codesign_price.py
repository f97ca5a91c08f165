"""h3c-codesign price, as its users call it."""

import csv
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import pytest

from h3c.compiler.codesign import main
from h3c.compiler.codesigning.designs import BLOCK_ROWS, COLUMNS
from h3c.compiler.codesigning.networks import layers_of_file
from h3c.runtime_sim.imc.constants import constants
from h3c.runtime_sim.imc.layers import Layers
from h3c.runtime_sim.imc.model import VARIABLES, Designs, area_mm2, price_network
from h3c.runtime_sim.weights import STORE

Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]
Price = Callable[..., Done]

HEADER = ",".join(COLUMNS)
RRAM = "RRAM,cnn,0.60,8,1e-09,512,32,8,64,32,4096,32"
SRAM = "SRAM,cnn,0.55,1,1e-09,256,128,1,32,8,4096,32"


@pytest.fixture
def price(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Price:
    """price(lines, space) prices a list of designs for two models, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(STORE, "driver", STORE.driver)  # the command sets it

    def run(lines: Sequence[str], space: str = "imc-rram") -> Done:
        (tmp_path / "designs.csv").write_text("".join(line + "\n" for line in lines))
        named = ["--model", f"cnn={models / 'digits_cnn.onnx'}", "--model", f"mlp={models / 'digits_mlp.onnx'}"]
        arguments = ["--space", space, *named, "--dim", "batch=1", "designs.csv", "-o", "prices.csv"]
        status = main(["price", *arguments])
        told = capsys.readouterr()
        return Done(arguments, status, told.out, told.err)

    return run


def written(folder: Path) -> list[dict[str, str]]:
    """The rows of the prices."""
    with (folder / "prices.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_come_back_in_order_as_given_with_the_prices_of_the_model(
    price: Price, models: Path, tmp_path: Path
) -> None:
    lines = [RRAM, RRAM.replace("cnn", "mlp"), RRAM.replace("1e-09,512", "4e-9,64"), RRAM]
    done = price([HEADER, *lines])
    assert (done.returncode, done.stdout, done.stderr) == (0, "4 designs of imc-rram priced\n", "")
    rows = written(tmp_path)
    assert [",".join(row[name] for name in COLUMNS) for row in rows] == lines
    assert list(rows[0]) == [*COLUMNS, "energy_j", "latency_s", "area_mm2"]
    for row in rows:
        file = models / f"digits_{row['network']}.onnx"
        design, known = Designs.of(**{name: float(row[name]) for name in VARIABLES}), constants("rram")
        expected = price_network(Layers.of(layers_of_file(file, {"batch": 1})), design, known)
        assert float(row["energy_j"]) == pytest.approx(float(expected.energy_pj) * 1e-12, rel=1e-12)
        assert float(row["latency_s"]) == pytest.approx(float(expected.latency_s), rel=1e-12)
        assert float(row["area_mm2"]) == pytest.approx(float(area_mm2(design, known)), rel=1e-12)


def test_columns_in_another_order_and_further_ones_are_fine(price: Price, tmp_path: Path) -> None:
    """The archive's file has figures of its own behind the design; a spreadsheet adds a mark and other line ends."""
    assert price([HEADER, SRAM], "imc-sram").returncode == 0
    plain = written(tmp_path)
    names, values = HEADER.split(",")[::-1], SRAM.split(",")[::-1]
    header, row = "﻿note,energy_j," + ",".join(names), '"a, b",17,' + ",".join(values)
    assert price([header + "\r", row + "\r", "\r"], "imc-sram").returncode == 0
    assert written(tmp_path) == plain


def test_no_designs_have_no_prices(price: Price, tmp_path: Path) -> None:
    assert price([HEADER]).returncode == 0
    assert (tmp_path / "prices.csv").read_text() == f"{HEADER},energy_j,latency_s,area_mm2\n"


def test_long_lists_are_priced_block_by_block(price: Price, tmp_path: Path) -> None:
    volts = ["0.5", "0.6", "0.7"]
    lines = [RRAM.replace("0.60", volts[i % 3]) for i in range(BLOCK_ROWS + 10)]
    assert price([HEADER, *lines]).returncode == 0
    rows = written(tmp_path)
    assert [row["volt"] for row in rows] == [volts[i % 3] for i in range(len(lines))]
    assert len({(row["volt"], row["energy_j"]) for row in rows}) == 3
    lines[BLOCK_ROWS + 4] = RRAM.replace("512", "huge")
    done = price([HEADER, *lines])
    assert f"designs.csv: row {BLOCK_ROWS + 5}, column rows: expected a whole number" in done.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (RRAM.replace("RRAM", "SRAM"), "column memory: expected RRAM (space imc-rram), got 'SRAM'"),
        (RRAM.replace("cnn", "vgg"), "column network: expected one of cnn, mlp (--model), got 'vgg'"),
        (RRAM.replace("0.60", "nan"), "column volt: expected a number from 0.3 to 1.5, got 'nan'"),
        (RRAM.replace("0.60", ""), "column volt: expected a number from 0.3 to 1.5, got ''"),
        (RRAM.replace("0.60", "inf"), "column volt: expected a number from 0.3 to 1.5, got 'inf'"),
        (RRAM.replace("512", "51_2"), "column rows: expected a whole number from 1 to 4096, got '51_2'"),
        (RRAM.replace("512", "51.2"), "column rows: expected a whole number from 1 to 4096, got '51.2'"),
        (RRAM.replace("512", "-512"), "column rows: expected a whole number from 1 to 4096, got '-512'"),
        (RRAM.replace("1e-09", "1"), "column cycle_s: expected a number from 1e-10 to 1e-06, got '1'"),
        (RRAM.replace("60,8", "60,9"), "column bits_per_cell: expected a whole number from 1 to 8, got '9'"),
        (RRAM.replace("4096", "5000"), "column glb_depth_2048bit: expected one of 2048, 4096, 8192"),
        (RRAM[:-2] + "28", "column node_nm: expected one of 32, got 28"),
        (RRAM[:-3], "expected 12 values, as in the header, got 11"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_row_and_column(price: Price, tmp_path: Path, line: str, told: str) -> None:
    (tmp_path / "prices.csv").write_text("old")
    done = price([HEADER, RRAM, RRAM, line, RRAM])
    assert done.returncode == 1
    assert done.stderr.startswith("h3c-codesign: designs.csv: row 3")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "prices.csv").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"designs.csv", "prices.csv"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (SRAM.replace("55,1,", "55,2,"), "column bits_per_cell: expected at most 1 for SRAM, got '2'"),
        (SRAM.replace("0.55", "0.45"), "column volt: expected more than 0.46 V at this node, got 0.45"),
        (SRAM.replace("4096,32", "524288,7"), "262144 at 7 nm, got 524288"),
        (SRAM.replace("4096,32", "4096,8"), "column node_nm: expected one of 7, 10, 14, 22, 32, 45, got 8"),
    ],
)
def test_what_an_sram_chip_cannot_be_is_one_line(price: Price, line: str, told: str) -> None:
    done = price([HEADER, SRAM, SRAM.replace("4096,32", "4096,45").replace("0.55", "0.9"), line, SRAM], "imc-sram")
    assert done.returncode == 1
    assert done.stderr.startswith("h3c-codesign: designs.csv: row 3, column ")
    assert told in done.stderr


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (HEADER.replace(",rows", ""), "expected a column rows (of memory,network"),
        (HEADER.replace("rows", "volt"), "expected a column volt (of memory,network"),
        ("", "expected a column memory (of memory,network"),
    ],
)
def test_a_wrong_header_is_one_line(price: Price, header: str, told: str) -> None:
    done = price([header, RRAM])
    assert done.returncode == 1
    assert "h3c-codesign: designs.csv: header: " + told in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "expected a model, an .onnx file"),
        (["prise"], "--space: expected the chips to choose from"),
        (["price"], "the following arguments are required"),
        (["price", "--space", "imc-dram"], "invalid choice: 'imc-dram'"),
        (["price", "--model", "cnn"], "expected NAME=FILE.onnx, got 'cnn'"),
        (
            ["price", "--space", "imc-rram", "--model", "a=b", "x.csv", "-o", "none/p.csv"],
            "expected an existing folder",
        ),
        (["price", "--space", "imc-rram", "--model", "a=b", "x.csv", "-o", "x.csv"], "other than the inputs"),
        (["price", "--space", "imc-rram", "--model", "a=b", "--model", "a=c", "x.csv", "-o", "p"], "each name once"),
        (["price", "--space", "imc-rram", "--model", "a=gone.onnx", "x.csv", "-o", "p"], "gone.onnx: "),
    ],
)
def test_a_wrong_command_line_is_one_line(command: Command, arguments: list[str], told: str) -> None:
    done = command("h3c-codesign", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("h3c-codesign: ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_missing_designs_and_dimensions_are_one_line(command: Command, models: Path) -> None:
    given = ["--space", "imc-rram", "--model", f"cnn={models / 'digits_cnn.onnx'}", "none.csv", "-o", "p.csv"]
    done = command("h3c-codesign", "price", *given, "--dim", "batch=1")
    assert (done.returncode, done.stderr) == (1, "h3c-codesign: none.csv: No such file or directory\n")
    assert "symbolic dimensions are not bound: --dim batch=VALUE" in command("h3c-codesign", "price", *given).stderr
    wrong = command("h3c-codesign", "price", *given, "--dim", "batch=1", "--dim", "b=1")
    assert "--dim b: expected a dimension that a model leaves open (batch), got 'b'" in wrong.stderr


def test_a_dimension_binds_the_models_that_have_it(command: Command, models: Path, tmp_path: Path) -> None:
    """The other model's batch is fixed. Weights stay on the chip, so three inputs take three times the energy."""
    fixed = onnx.load(models / "digits_mlp.onnx")
    for value in (*fixed.graph.input, *fixed.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(fixed, tmp_path / "fixed.onnx")
    (tmp_path / "d.csv").write_text(f"{HEADER}\n{RRAM}\n{RRAM.replace('cnn', 'mlp')}\n")
    energies: list[list[float]] = []
    for batch in (1, 3):
        named = ["--model", f"cnn={models / 'digits_cnn.onnx'}", "--model", "mlp=fixed.onnx", "-q"]
        given = ["--space", "imc-rram", *named, "d.csv", "-o", "prices.csv", "--dim", f"batch={batch}"]
        done = command("h3c-codesign", "price", *given)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        energies.append([float(row["energy_j"]) for row in written(tmp_path)])
    assert 2.5 < energies[1][0] / energies[0][0] <= 3.01
    assert energies[1][1] == energies[0][1]


def test_prices_can_go_to_stdout(command: Command, models: Path, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(f"{HEADER}\n{RRAM}\n")
    given = ["--space", "imc-rram", "--model", f"cnn={models / 'digits_cnn.onnx'}", "d.csv", "-o", "-"]
    done = command("h3c-codesign", "price", *given, "--dim", "batch=1")
    assert done.stdout.startswith(f"{HEADER},energy_j,latency_s,area_mm2\n{RRAM},")
    assert done.returncode == 0
    (tmp_path / "d.csv").write_text(f"{HEADER}\n{RRAM}\n{RRAM},x\n")
    wrong = command("h3c-codesign", "price", *given, "--dim", "batch=1")
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (1, "", 1)
