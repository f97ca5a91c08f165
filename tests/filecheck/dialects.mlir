// RUN: h3c-opt %s | h3c-opt | filecheck %s
// RUN: h3c-opt %s --print-op-generic | h3c-opt | filecheck %s
// Every op of h3 and tile prints and parses back, in both forms.

builtin.module {
  h3.chip @chip sequential fields {name = "c"} {
    h3.memory @buffer {size_bytes = 64 : i64}
    h3.tier @sram kind "crossbar" {arrays = 16 : i64}
  }
  func.func @main(%x: tensor<1x3x8x8xf32>, %z: tensor<64x16xi8>) {
    %cw = h3.weight "conv.w" digest "9f2c" : tensor<16x3x3x3xf32>
    %cb = h3.weight "conv.b" splat 0.5 : tensor<16xf32>
    %wq = h3.weight "wq" absent : tensor<16x32xi8>
    %c = h3.conv %x, %cw <strides [1, 1], pads [1, 1, 1, 1], dilations [1, 1], groups 1> bias %cb activation relu on [#h3.part<@chip::@sram, outputs 0 to 16, copies 2, segment 0>] : (tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32>, tensor<16xf32>) -> tensor<1x16x8x8xf32>
    %o = h3.weight "order" digest "0a1b" : tensor<32xi32>
    %q = h3.matmul %z, %wq order %o zero_point -3 on [#h3.part<@chip::@sram, outputs 0 to 8, copies 1, segment 0, rewritten, precision "6-6-8">, #h3.part<@chip::@sram, outputs 8 to 32, copies 1, segment 0>] : (tensor<64x16xi8>, tensor<16x32xi8>, tensor<32xi32>) -> tensor<64x32xi32>
    %v = tile.reorder %wq by %o axis 1 : (tensor<16x32xi8>, tensor<32xi32>) -> tensor<16x32xi8>
    %r = tile.segment once -> tensor<8x3x3x3xf32, #tile.arrays<@chip::@sram, 0 to 1, 3 to 4, copies 2>> {
      %p = tile.program %cw from [8, 0, 0, 0] step 0 : (tensor<16x3x3x3xf32>) -> tensor<8x3x3x3xf32, #tile.arrays<@chip::@sram, 0 to 1, 3 to 4, copies 2>>
      tile.yield %p : tensor<8x3x3x3xf32, #tile.arrays<@chip::@sram, 0 to 1, 3 to 4, copies 2>>
    }
    tile.segment 0 {
      %l = tile.load %x step 0 : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32, @chip::@buffer>
      %m = tile.mvm %l, %r window <strides [1, 1], pads [1, 1, 1, 1], dilations [1, 1], groups 1> first 8 of 16 bias %cb activation relu step 1 : (tensor<1x3x8x8xf32, @chip::@buffer>, tensor<8x3x3x3xf32, #tile.arrays<@chip::@sram, 0 to 1, 3 to 4, copies 2>>, tensor<16xf32>) -> tensor<1x8x8x8xf32, @chip::@buffer>
      %n = h3.weight "channels" digest "2c3d" : tensor<16xi32>
      %j = tile.join %m, %m axis 1 order %n : (tensor<1x8x8x8xf32, @chip::@buffer>, tensor<1x8x8x8xf32, @chip::@buffer>, tensor<16xi32>) -> tensor<1x16x8x8xf32, @chip::@buffer>
      %d = tile.digital %j step 2 : (tensor<1x16x8x8xf32, @chip::@buffer>) -> tensor<1x16x8x8xf32, @chip::@buffer> {
      ^bb0(%a: tensor<1x16x8x8xf32>):
        %b = onnx.Relu(%a) : (tensor<1x16x8x8xf32>) -> tensor<1x16x8x8xf32>
        tile.yield %b : tensor<1x16x8x8xf32>
      }
      %s = tile.store %d step 3 : (tensor<1x16x8x8xf32, @chip::@buffer>) -> tensor<1x16x8x8xf32>
      tile.yield
    }
    func.return
  }
}

// CHECK:      h3.chip @chip sequential fields {name = "c"} {
// CHECK-NEXT:   h3.memory @buffer {size_bytes = 64 : i64}
// CHECK-NEXT:   h3.tier @sram kind "crossbar" {arrays = 16 : i64}
// CHECK:      h3.weight "conv.w" digest "9f2c" : tensor<16x3x3x3xf32>
// CHECK-NEXT: h3.weight "conv.b" splat 5.000000e-01 : tensor<16xf32>
// CHECK-NEXT: h3.weight "wq" absent : tensor<16x32xi8>
// CHECK-NEXT: h3.conv %x, %cw <strides [1, 1], pads [1, 1, 1, 1], dilations [1, 1], groups 1> bias %cb activation relu on [#h3.part<@chip::@sram, outputs 0 to 16, copies 2, segment 0>]
// CHECK-NEXT: h3.weight "order" digest "0a1b" : tensor<32xi32>
// CHECK-NEXT: h3.matmul %z, %wq order %o zero_point -3 on [#h3.part<@chip::@sram, outputs 0 to 8, copies 1, segment 0, rewritten, precision "6-6-8">, #h3.part<@chip::@sram, outputs 8 to 32, copies 1, segment 0>]
// CHECK-NEXT: tile.reorder %wq by %o axis 1 : (tensor<16x32xi8>, tensor<32xi32>) -> tensor<16x32xi8>
// CHECK-NEXT: tile.segment once -> tensor<8x3x3x3xf32, #tile.arrays<@chip::@sram, 0 to 1, 3 to 4, copies 2>> {
// CHECK-NEXT:   tile.program %cw from [8, 0, 0, 0] step 0
// CHECK:      tile.segment 0 {
// CHECK-NEXT:   tile.load %x step 0
// CHECK-NEXT:   tile.mvm {{.*}} window <strides [1, 1], pads [1, 1, 1, 1], dilations [1, 1], groups 1> first 8 of 16 bias %cb activation relu step 1
// CHECK-NEXT:   h3.weight "channels"
// CHECK-NEXT:   tile.join {{.*}} axis 1 order
// CHECK-NEXT:   tile.digital {{.*}} step 2
// CHECK:        tile.store {{.*}} step 3
