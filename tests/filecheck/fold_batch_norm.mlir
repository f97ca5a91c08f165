// RUN: h3c-opt %s -p fold-batch-norm | filecheck %s
// A normalisation after a convolution goes into its weight; fills stay fills, absent weights stay absent.

builtin.module attributes {h3.model = {name = "t", opset = {ai.onnx = 17 : i64}}} {
  func.func @main(%x: tensor<1x8x4x4xf32> {h3.name = "x"}) -> (tensor<1x96x4x4xf32> {h3.name = "y"}, tensor<1x96x4x4xf32> {h3.name = "z"}) {
    %one = h3.weight "one" splat 1.0 : tensor<96xf32>
    %zero = h3.weight "zero" splat 0.0 : tensor<96xf32>
    %four = h3.weight "four" splat 4.0 : tensor<96xf32>
    %w = h3.weight "w" splat 3.0 : tensor<96x8x1x1xf32>
    %c = onnx.Conv(%x, %w) : (tensor<1x8x4x4xf32>, tensor<96x8x1x1xf32>) -> tensor<1x96x4x4xf32>
    %y = onnx.BatchNormalization(%c, %one, %one, %zero, %four) <epsilon = 0.0> : (tensor<1x96x4x4xf32>, tensor<96xf32>, tensor<96xf32>, tensor<96xf32>, tensor<96xf32>) -> tensor<1x96x4x4xf32>
    %v = h3.weight "v" absent : tensor<96x8x1x1xf32>
    %d = onnx.Conv(%x, %v) : (tensor<1x8x4x4xf32>, tensor<96x8x1x1xf32>) -> tensor<1x96x4x4xf32>
    %z = onnx.BatchNormalization(%d, %one, %one, %zero, %four) : (tensor<1x96x4x4xf32>, tensor<96xf32>, tensor<96xf32>, tensor<96xf32>, tensor<96xf32>) -> tensor<1x96x4x4xf32>
    func.return %y, %z : tensor<1x96x4x4xf32>, tensor<1x96x4x4xf32>
  }
}

// CHECK-LABEL: func.func @main
// CHECK-NEXT:    [[W:%[^ ]+]] = h3.weight "w.normalised" splat 1.500000e+00 : tensor<96x8x1x1xf32>
// CHECK-NEXT:    [[B:%[^ ]+]] = h3.weight "one.normalised" splat 1.000000e+00 : tensor<96xf32>
// CHECK-NEXT:    %y = onnx.Conv(%x, [[W]], [[B]])
// CHECK-NEXT:    [[V:%[^ ]+]] = h3.weight "v.normalised" absent : tensor<96x8x1x1xf32>
// CHECK-NEXT:    [[C:%[^ ]+]] = h3.weight "one.normalised" splat
// CHECK-NEXT:    %z = onnx.Conv(%x, [[V]], [[C]])
// CHECK-NEXT:    func.return %y, %z
