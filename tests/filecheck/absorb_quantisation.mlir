// RUN: h3c-opt %s -p absorb-quantisation | filecheck %s
// Two dequantised factors become integers with a scale; the zero point of x is a property.

builtin.module {
  func.func @main(%x: tensor<1x64xi8> {h3.name = "x"}) -> (tensor<1x16xf32> {h3.name = "y"}) {
    %sx = onnx.Constant() <value = dense<5.000000e-01> : tensor<f32>> : () -> tensor<f32>
    %zx = onnx.Constant() <value = dense<-3> : tensor<i8>> : () -> tensor<i8>
    %xf = onnx.DequantizeLinear(%x, %sx, %zx) : (tensor<1x64xi8>, tensor<f32>, tensor<i8>) -> tensor<1x64xf32>
    %w = h3.weight "w" absent : tensor<64x16xi8>
    %sw = onnx.Constant() <value = dense<2.500000e-01> : tensor<16xf32>> : () -> tensor<16xf32>
    %wf = onnx.DequantizeLinear(%w, %sw) <axis = 1> : (tensor<64x16xi8>, tensor<16xf32>) -> tensor<64x16xf32>
    %y = h3.matmul %xf, %wf : (tensor<1x64xf32>, tensor<64x16xf32>) -> tensor<1x16xf32>
    func.return %y : tensor<1x16xf32>
  }
}

// CHECK-LABEL: func.func @main
// CHECK-NEXT:    %w = h3.weight "w" absent : tensor<64x16xi8>
// CHECK-NEXT:    [[S:%[^ ]+]] = onnx.Constant() <value = dense<1.250000e-01> : tensor<16xf32>>
// CHECK-NEXT:    %y = h3.matmul %x, %w scale [[S]] zero_point -3 : (tensor<1x64xi8>, tensor<64x16xi8>, tensor<16xf32>) -> tensor<1x16xf32>
// CHECK-NEXT:    func.return %y
