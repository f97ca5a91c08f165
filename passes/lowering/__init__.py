"""How each family of ONNX's matrix operators becomes h3 ops: one file a family, one table of all of them."""
