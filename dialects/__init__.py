"""What can be said: the model (onnx), the placed tensor program and the chip (h3), the meta-operators (tile)."""
