"""h3c-opt: any pass on any IR, in the manner of mlir-opt and xdsl-opt; reads .mlir and .onnx."""

import argparse
import os
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from types import MethodType
from typing import IO

from xdsl.dialects.builtin import ModuleOp
from xdsl.xdsl_opt_main import xDSLOptMain

from ..runtime_sim.weights import STORE, file_digest, register_stores, relative_stores, set_stores
from .front import Arguments, UsageError, check_outputs, guarded, name_and_number
from .output import Outputs
from .plan_files import add_store, write_named_store


class _Text(StringIO):
    """A text that outlives its closing."""

    def close(self) -> None:
        pass


class OptMain(xDSLOptMain):
    """xDSL's driver, with ONNX as input, stores of weights, and output that is written whole or not at all."""

    version_format = "h3c-opt, on xdsl {xdsl_version}"

    def register_all_arguments(self, arg_parser: argparse.ArgumentParser) -> None:
        super().register_all_arguments(arg_parser)
        # xDSL makes the parser: its mistakes shall end like all others, in one line and with status 1.
        setattr(arg_parser, "error", MethodType(Arguments.error, arg_parser))  # noqa: B010
        arg_parser.add_argument(
            "--dim",
            metavar="NAME=VALUE",
            type=name_and_number,
            action="append",
            default=[],
            help="bind a symbolic dimension of an ONNX model (repeat for several)",
        )
        arg_parser.add_argument(
            "--weights",
            metavar="FILE.safetensors",
            type=Path,
            help="where values that passes make go; with -o they go beside the output, and this is not needed",
        )

    def register_all_frontends(self) -> None:
        super().register_all_frontends()
        parse_text = self.available_frontends["mlir"]

        def read_text(file: IO[bytes]) -> ModuleOp:
            module = parse_text(file)
            register_stores(module, Path(self.args.input_file).parent if self.args.input_file else Path())
            return module

        def read_model(file: IO[bytes]) -> ModuleOp:
            from .onnx_reader.importer import read_onnx

            file.close()
            return read_onnx(Path(self.args.input_file), dict(self.args.dim))

        self.available_frontends["mlir"] = read_text
        self.available_frontends["onnx"] = read_model

    def prepare_input(self) -> tuple[list[tuple[IO[bytes], int]], str]:
        try:
            return super().prepare_input()
        except ValueError as error:
            raise UsageError(f"{self.args.input_file}: {error}") from None

    def prepare_output(self) -> IO[str]:
        self._text = _Text()
        return self._text

    def output_resulting_program(self, prog: ModuleOp) -> str:
        output = None if self.args.output_file is None else Path(self.args.output_file)
        stored: Path | None = self.args.weights
        if output is not None and stored is None:
            written = add_store(self.files, [prog], output)
        else:
            written = write_named_store(prog, stored)
        folder = Path() if output is None else output.parent
        own = [] if written is None else [(os.path.relpath(written, folder), file_digest(written))]
        stores = relative_stores(prog, folder) + own
        if stores:
            set_stores(prog, stores)
        return super().output_resulting_program(prog)

    def run(self) -> None:
        with Outputs() as self.files:
            super().run()
            if self.args.output_file is None:
                sys.stdout.write(self._text.getvalue())
            else:
                self.files.add(Path(self.args.output_file), self._text.getvalue())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command h3c-opt; returns its exit status."""

    def body() -> None:
        STORE.driver = "h3c-opt"
        try:
            tool = OptMain("h3c-opt: run passes on IR (.mlir) or on a model (.onnx)", arguments)
        except ValueError as error:
            # an unknown pass, or an option that a pass has not
            raise UsageError(str(error)) from None
        check_outputs([tool.args.output_file, tool.args.weights])
        tool.run()

    return guarded("h3c-opt", body)
