// RUN: h3c-opt %s -p fuse-bias-activation | filecheck %s
// A constant with one value an output and an activation without parameters join the product.

builtin.module attributes {h3.model = {name = "t", opset = {ai.onnx = 17 : i64}}} {
  func.func @main(%x: tensor<1x64xf32> {h3.name = "x"}) -> (tensor<1x10xf32> {h3.name = "y"}, tensor<1x10xf32> {h3.name = "z"}) {
    %w = h3.weight "w" absent : tensor<64x10xf32>
    %b = h3.weight "b" absent : tensor<10xf32>
    %m = h3.matmul %x, %w : (tensor<1x64xf32>, tensor<64x10xf32>) -> tensor<1x10xf32>
    %a = onnx.Add(%b, %m) : (tensor<10xf32>, tensor<1x10xf32>) -> tensor<1x10xf32>
    %y = onnx.Relu(%a) : (tensor<1x10xf32>) -> tensor<1x10xf32>
    %n = h3.matmul %x, %w : (tensor<1x64xf32>, tensor<64x10xf32>) -> tensor<1x10xf32>
    %r = onnx.Relu(%n) : (tensor<1x10xf32>) -> tensor<1x10xf32>
    %z = onnx.Add(%r, %n) : (tensor<1x10xf32>, tensor<1x10xf32>) -> tensor<1x10xf32>
    func.return %y, %z : tensor<1x10xf32>, tensor<1x10xf32>
  }
}

// CHECK-LABEL: func.func @main
// CHECK:         %y = h3.matmul %x, %w bias %b activation relu : (tensor<1x64xf32>, tensor<64x10xf32>, tensor<10xf32>) -> tensor<1x10xf32>
// CHECK-NEXT:    %n = h3.matmul %x, %w :
// CHECK-NEXT:    %r = onnx.Relu(%n)
// CHECK-NEXT:    %z = onnx.Add(%r, %n)
