// RUN: h3c-opt %s -p model-figures | filecheck %s
// A tied weight counts once, its transposed form is no operator.

builtin.module attributes {h3.model = {name = "t", opset = {ai.onnx = 17 : i64}}} {
  func.func @main(%x: tensor<3x8xf32> {h3.name = "x"}) -> (tensor<3x8xf32> {h3.name = "y"}) {
    %w = h3.weight "w" absent : tensor<8x20xf32>
    %b = h3.weight "b" absent : tensor<20xf32>
    %g = onnx.Gemm(%x, %w, %b) : (tensor<3x8xf32>, tensor<8x20xf32>, tensor<20xf32>) -> tensor<3x20xf32>
    %r = onnx.Relu(%g) : (tensor<3x20xf32>) -> tensor<3x20xf32>
    %t = onnx.Transpose(%w) <perm = [1, 0]> : (tensor<8x20xf32>) -> tensor<20x8xf32>
    %y = onnx.MatMul(%r, %t) : (tensor<3x20xf32>, tensor<20x8xf32>) -> tensor<3x8xf32>
    func.return %y : tensor<3x8xf32>
  }
}

// CHECK: h3.model = {macs = 960 : i64, matrix_operators = 2 : i64, name = "t", operators = 3 : i64, opset = {ai.onnx = 17 : i64}, weights = 160 : i64}
