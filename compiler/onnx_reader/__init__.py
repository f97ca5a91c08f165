"""Reads ONNX files into the onnx dialect: `from h3c.compiler.onnx_reader.importer import read_onnx`."""
