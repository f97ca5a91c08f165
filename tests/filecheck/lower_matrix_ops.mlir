// RUN: h3c-opt %s -p lower-matrix-ops | filecheck %s
// Products become h3 ops, also where the weight is on the left or the window follows from auto_pad; the rest stays.

builtin.module attributes {h3.model = {name = "t", opset = {ai.onnx = 17 : i64}}} {
  func.func @main(%x: tensor<3x8xf32> {h3.name = "x"}, %i: tensor<1x4x6x6xf32> {h3.name = "i"}) -> (tensor<3x16xf32> {h3.name = "y"}) {
    %w = h3.weight "w" absent : tensor<16x8xf32>
    %b = h3.weight "b" absent : tensor<16xf32>
    %g = onnx.Gemm(%x, %w, %b) <alpha = 0.5, transB = 1> : (tensor<3x8xf32>, tensor<16x8xf32>, tensor<16xf32>) -> tensor<3x16xf32>
    %left = h3.weight "left" absent : tensor<5x3xf32>
    %l = onnx.MatMul(%left, %g) : (tensor<5x3xf32>, tensor<3x16xf32>) -> tensor<5x16xf32>
    %k = h3.weight "k" absent : tensor<4x1x3x3xf32>
    %c = onnx.Conv(%i, %k) <auto_pad = "SAME_UPPER", group = 4, strides = [2, 2]> : (tensor<1x4x6x6xf32>, tensor<4x1x3x3xf32>) -> tensor<1x4x3x3xf32>
    %t = onnx.ConvTranspose(%c, %k) <group = 4, strides = [2, 2]> : (tensor<1x4x3x3xf32>, tensor<4x1x3x3xf32>) -> tensor<1x4x7x7xf32>
    %y = onnx.Relu(%g) : (tensor<3x16xf32>) -> tensor<3x16xf32>
    "test.op"(%l, %t) : (tensor<5x16xf32>, tensor<1x4x7x7xf32>) -> ()
    func.return %y : tensor<3x16xf32>
  }
}

// CHECK-LABEL: func.func @main
// CHECK:         [[S:%[^ ]+]] = onnx.Constant() <value = dense<5.000000e-01> : tensor<1xf32>>
// CHECK-NEXT:    %g = h3.matmul %x, %w transposed bias %b scale [[S]] : (tensor<3x8xf32>, tensor<16x8xf32>, tensor<16xf32>, tensor<1xf32>) -> tensor<3x16xf32>
// CHECK:         [[T:%[^ ]+]] = onnx.Transpose(%g) <perm = [1, 0]>
// CHECK-NEXT:    [[M:%[^ ]+]] = h3.matmul [[T]], %left transposed : (tensor<16x3xf32>, tensor<5x3xf32>) -> tensor<16x5xf32>
// CHECK-NEXT:    %l = onnx.Transpose([[M]]) <perm = [1, 0]>
// CHECK:         %c = h3.conv %i, %k <strides [2, 2], pads [0, 0, 1, 1], dilations [1, 1], groups 4>
// CHECK:         h3.weight "k.flipped" absent : tensor<4x1x3x3xf32>
// CHECK:         onnx.Pad
// CHECK:         %t = h3.conv {{.*}} <strides [1, 1], pads [2, 2, 1, 1], dilations [1, 1], groups 4> {h3.macs = 324 : i64} : (tensor<1x4x6x6xf32>, tensor<4x1x3x3xf32>) -> tensor<1x4x7x7xf32>
// CHECK-NEXT:    %y = onnx.Relu(%g)
