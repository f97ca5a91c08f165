// RUN: h3c-opt %s -p absorb-transposes | filecheck %s
// A product reads keys as they are; scaling a transposed weight by a number is done before transposing.

builtin.module {
  func.func @main(%q: tensor<64x32xf32> {h3.name = "q"}, %k: tensor<64x32xf32> {h3.name = "k"}) -> (tensor<64x64xf32> {h3.name = "y"}, tensor<64x64xf32> {h3.name = "z"}) {
    %t = onnx.Transpose(%k) <perm = [1, 0]> : (tensor<64x32xf32>) -> tensor<32x64xf32>
    %y = h3.matmul %q, %t : (tensor<64x32xf32>, tensor<32x64xf32>) -> tensor<64x64xf32>
    %s = onnx.Constant() <value = dense<1.250000e-01> : tensor<f32>> : () -> tensor<f32>
    %u = onnx.Mul(%t, %s) : (tensor<32x64xf32>, tensor<f32>) -> tensor<32x64xf32>
    %z = h3.matmul %q, %u : (tensor<64x32xf32>, tensor<32x64xf32>) -> tensor<64x64xf32>
    func.return %y, %z : tensor<64x64xf32>, tensor<64x64xf32>
  }
}

// CHECK-LABEL: func.func @main
// CHECK-NEXT:    %y = h3.matmul %q, %k transposed : (tensor<64x32xf32>, tensor<64x32xf32>) -> tensor<64x64xf32>
// CHECK-NEXT:    %s = onnx.Constant()
// CHECK-NEXT:    %u = onnx.Mul(%k, %s) : (tensor<64x32xf32>, tensor<f32>) -> tensor<64x32xf32>
// CHECK-NEXT:    %z = h3.matmul %q, %u transposed
