// RUN: not h3c-opt %s -p verify-h3 2>&1 | filecheck %s
// Matrix work that was not lowered is refused.

builtin.module {
  func.func @main(%x: tensor<3x8xf32> {h3.name = "x"}) -> (tensor<3x20xf32> {h3.name = "y"}) {
    %w = h3.weight "w" absent : tensor<8x20xf32>
    %y = onnx.MatMul(%x, %w) : (tensor<3x8xf32>, tensor<8x20xf32>) -> tensor<3x20xf32> loc("/fc/MatMul")
    func.return %y : tensor<3x20xf32>
  }
}

// CHECK: onnx.MatMul is matrix work, expected an h3 op (lower-matrix-ops)
