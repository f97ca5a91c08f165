// RUN: h3c-opt %s -p 'attach-chip{target=h3pimap},lower-to-tile,assign-arrays,verify-tile' | filecheck %s
// Parts that stay are programmed at power-up, a rewritten one in the step of its product; digital work runs between,
// values that fit stay in the buffer, and the parts of one operator share a step.

builtin.module {
  func.func @main(%x: tensor<8x64xf32> {h3.name = "x"}) -> (tensor<8x64xf32> {h3.name = "y"}) {
    %w = h3.weight "w" absent : tensor<64x96xf32>
    %b = h3.weight "b" absent : tensor<96xf32>
    %v = h3.weight "v" absent : tensor<64x96xf32>
    %a = h3.matmul %x, %w bias %b activation relu on [#h3.part<@chip::@sram, outputs 0 to 64, copies 2, segment 0>, #h3.part<@chip::@photonic, outputs 64 to 96, copies 1, segment 0, precision "6-6-8">] : (tensor<8x64xf32>, tensor<64x96xf32>, tensor<96xf32>) -> tensor<8x96xf32>
    %s = onnx.Softmax(%a) <axis = -1> : (tensor<8x96xf32>) -> tensor<8x96xf32>
    %y = h3.matmul %s, %v transposed on [#h3.part<@chip::@reram, outputs 0 to 32, copies 1, segment 1, rewritten>, #h3.part<@chip::@reram, outputs 32 to 64, copies 1, segment 2, rewritten>] : (tensor<8x96xf32>, tensor<64x96xf32>) -> tensor<8x64xf32>
    func.return %y : tensor<8x64xf32>
  }
}

// CHECK:      [[W:%[^ ]+]] = tile.segment once -> tensor<64x64xf32, #tile.arrays<@chip::@sram, 0 to 8, copies 2>> {
// CHECK-NEXT:   {{%.*}} = tile.program %w step 0 : (tensor<64x96xf32>) -> tensor<64x64xf32, #tile.arrays<@chip::@sram, 0 to 8, copies 2>>
// CHECK:      {{%.*}} = tile.segment 0 -> tensor<8x96xf32, @chip::@buffer> {
// CHECK-NEXT:   [[A0:%[^ ]+]] = tile.mvm %x, [[W]] first 0 of 96 bias %b activation relu step 0
// CHECK-NEXT:   [[A1:%[^ ]+]] = tile.mvm %x, %w on @chip::@photonic first 64 of 96 bias %b activation relu precision "6-6-8" step 0
// CHECK-NEXT:   [[A:%[^ ]+]] = tile.join [[A0]], [[A1]] axis 1
// CHECK-NEXT:   {{%.*}} = tile.digital [[A]] step 1
// CHECK:          onnx.Softmax
// CHECK:      {{%.*}} = tile.segment 1 -> tensor<8x32xf32> {
// CHECK-NEXT:   [[P:%[^ ]+]] = tile.program %v transposed step 2 : (tensor<64x96xf32>) -> tensor<96x32xf32, #tile.arrays<@chip::@reram, 0 to 1>>
// CHECK-NEXT:   {{%.*}} = tile.mvm {{%.*}}, [[P]] first 0 of 64 step 2
// CHECK:      {{%.*}} = tile.segment 2 -> tensor<8x64xf32> {
// CHECK-NEXT:   {{%.*}} = tile.program %v from [32, 0] transposed step 3
// CHECK-NEXT:   {{%.*}} = tile.mvm {{%.*}} first 32 of 64 step 3
// CHECK-NEXT:   {{%.*}} = tile.join {{.*}} axis 1
