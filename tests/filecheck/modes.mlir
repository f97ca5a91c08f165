// RUN: h3c-opt %s -p 'attach-chip{target=dynaplasia},verify-tile' | filecheck %s
// RUN: h3c-opt %s -p 'attach-chip{target=dynaplasia},verify-tile' | h3c-opt | filecheck %s
// Arrays that compute or remember: a value in memory-mode arrays, switches, and a product in rounds whose first arrays
// are written ahead.

builtin.module {
  func.func @main(%x: tensor<40x64xf32> {h3.name = "x"}, %u: tensor<8x64xf32> {h3.name = "u"}) -> (tensor<8x40xf32> {h3.name = "y"}) {
    %v = h3.weight "v" absent : tensor<64x64xf32>
    %w = h3.weight "w" absent : tensor<40x1280xf32>
    %z = h3.weight "z" absent : tensor<1280x40xf32>
    %p = tile.segment 0 -> tensor<64x64xf32, #tile.arrays<@chip::@edram, 4 to 6>> {
      tile.switch #tile.arrays<@chip::@edram, 60 to 91> to memory step 0
      %a = tile.program %v step 1 : (tensor<64x64xf32>) -> tensor<64x64xf32, #tile.arrays<@chip::@edram, 4 to 6>>
      tile.yield %a : tensor<64x64xf32, #tile.arrays<@chip::@edram, 4 to 6>>
    }
    %k = tile.segment 1 memory #tile.arrays<@chip::@edram, 60 to 91> -> tensor<40x64xf32, #tile.memory<@chip::@edram, 90 to 91>> {
      %b = tile.mvm %x, %p step 2 : (tensor<40x64xf32>, tensor<64x64xf32, #tile.arrays<@chip::@edram, 4 to 6>>) -> tensor<40x64xf32, #tile.memory<@chip::@edram, 90 to 91>>
      tile.ahead %w share 8 of 32 to #tile.arrays<@chip::@edram, 10 to 18> step 3 : tensor<40x1280xf32>
      tile.yield %b : tensor<40x64xf32, #tile.memory<@chip::@edram, 90 to 91>>
    }
    %q = tile.segment 2 -> tensor<64x40xf32, #tile.arrays<@chip::@edram, 90 to 91>> {
      tile.switch #tile.arrays<@chip::@edram, 60 to 90> to compute step 4
      %c = tile.program %k transposed step 5 : (tensor<40x64xf32, #tile.memory<@chip::@edram, 90 to 91>>) -> tensor<64x40xf32, #tile.arrays<@chip::@edram, 90 to 91>>
      tile.yield %c : tensor<64x40xf32, #tile.arrays<@chip::@edram, 90 to 91>>
    }
    %y = tile.segment 3 -> tensor<8x40xf32> {
      %d = tile.mvm %u, %q step 6 : (tensor<8x64xf32>, tensor<64x40xf32, #tile.arrays<@chip::@edram, 90 to 91>>) -> tensor<8x40xf32, @chip::@buffer>
      %e = tile.mvm %d, %w on @chip::@edram rounds #tile.rounds<count 4, turns 2, passes 1, inputs 4, sums 0, off_chip 1, spilled 0, ahead 8, at #tile.arrays<@chip::@edram, 10 to 26>> step 7 : (tensor<8x40xf32, @chip::@buffer>, tensor<40x1280xf32>) -> tensor<8x1280xf32, @chip::@buffer>
      %f = tile.mvm %e, %z on @chip::@edram rounds #tile.rounds<count 4, turns 1, passes 1, inputs 1, sums 3, off_chip 1, spilled 0, ahead 0, at #tile.arrays<@chip::@edram, 30 to 31>> step 8 : (tensor<8x1280xf32, @chip::@buffer>, tensor<1280x40xf32>) -> tensor<8x40xf32>
      tile.yield %f : tensor<8x40xf32>
    }
    func.return %y : tensor<8x40xf32>
  }
}

// CHECK:      tile.switch #tile.arrays<@chip::@edram, 60 to 91> to memory step 0
// CHECK:      tile.segment 1 memory #tile.arrays<@chip::@edram, 60 to 91> -> tensor<40x64xf32, #tile.memory<@chip::@edram, 90 to 91>> {
// CHECK:      tile.ahead %w share 8 of 32 to #tile.arrays<@chip::@edram, 10 to 18> step 3 : tensor<40x1280xf32>
// CHECK:      tile.switch #tile.arrays<@chip::@edram, 60 to 90> to compute step 4
// CHECK-NEXT: tile.program {{%.*}} transposed step 5 : (tensor<40x64xf32, #tile.memory<@chip::@edram, 90 to 91>>) -> tensor<64x40xf32, #tile.arrays<@chip::@edram, 90 to 91>>
// CHECK:      rounds #tile.rounds<count 4, turns 2, passes 1, inputs 4, sums 0, off_chip 1, spilled 0, ahead 8, at #tile.arrays<@chip::@edram, 10 to 26>> step 7
