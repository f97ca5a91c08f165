// RUN: h3c-opt %s -p fold-constants | filecheck %s
// Shapes, what follows from them, fills and what comes from absent weights are constants afterwards.

builtin.module attributes {h3.model = {name = "t", opset = {ai.onnx = 17 : i64}}} {
  func.func @main(%x: tensor<2x128xf32> {h3.name = "x"}) -> (tensor<256xf32> {h3.name = "y"}, tensor<2x128xf32> {h3.name = "z"}, tensor<2x128xf32> {h3.name = "u"}) {
    %s = onnx.Shape(%x) : (tensor<2x128xf32>) -> tensor<2xi64>
    %p = onnx.ReduceProd(%s) <keepdims = 1> : (tensor<2xi64>) -> tensor<1xi64>
    %y = onnx.Reshape(%x, %p) : (tensor<2x128xf32>, tensor<1xi64>) -> tensor<256xf32>
    %w = h3.weight "w" absent : tensor<128xf32>
    %e = onnx.Exp(%w) : (tensor<128xf32>) -> tensor<128xf32>
    %z = onnx.Add(%x, %e) : (tensor<2x128xf32>, tensor<128xf32>) -> tensor<2x128xf32>
    %f = onnx.ConstantOfShape(%s) <value = dense<2.500000e-01> : tensor<1xf32>> : (tensor<2xi64>) -> tensor<2x128xf32>
    %i = onnx.Identity(%x) : (tensor<2x128xf32>) -> tensor<2x128xf32>
    %u = onnx.Mul(%i, %f) : (tensor<2x128xf32>, tensor<2x128xf32>) -> tensor<2x128xf32>
    func.return %y, %z, %u : tensor<256xf32>, tensor<2x128xf32>, tensor<2x128xf32>
  }
}

// CHECK-LABEL: func.func @main
// CHECK-NEXT:    %p = onnx.Constant() <value = dense<256> : tensor<1xi64>>
// CHECK-NEXT:    %y = onnx.Reshape(%x, %p)
// CHECK-NEXT:    %e = h3.weight "e" absent : tensor<128xf32>
// CHECK-NEXT:    %z = onnx.Add(%x, %e)
// CHECK-NEXT:    %f = h3.weight "f" splat 2.500000e-01 : tensor<2x128xf32>
// CHECK-NEXT:    %u = onnx.Mul(%x, %f)
// CHECK-NEXT:    func.return %y, %z, %u
