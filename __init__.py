"""h3c: compile ONNX models for heterogeneous processing-in-memory chips. This folder is the package `h3c`."""
