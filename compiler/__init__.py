"""The front door: command lines, the ONNX reader, chips, the pipeline."""
