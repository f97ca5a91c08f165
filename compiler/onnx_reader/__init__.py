"""From an ONNX file to the onnx dialect."""
