// RUN: h3c-opt %s --split-input-file --verify-diagnostics | filecheck %s
// What the dialects refuse, each with its reason.

%x, %w = "test.op"() : () -> (tensor<4x8xf32>, tensor<8x16xf32>)
%y = h3.matmul %x, %w on [#h3.part<@chip::@sram, outputs 0 to 8, copies 1, segment 0>] : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
// CHECK: parts cover 8 of 16 outputs

// -----

%x, %w = "test.op"() : () -> (tensor<4x8xf32>, tensor<8x16xf32>)
%y = h3.matmul %x, %w on [#h3.part<@chip::@sram, outputs 0 to 8, copies 1, segment 0>, #h3.part<@chip::@sram, outputs 4 to 16, copies 1, segment 0>] : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
// CHECK: parts leave or repeat outputs: expected one from 8

// -----

%x, %w = "test.op"() : () -> (tensor<4x7xf32>, tensor<8x16xf32>)
%y = h3.matmul %x, %w : (tensor<4x7xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
// CHECK: x has 7 columns, w 8 inputs

// -----

%x, %w = "test.op"() : () -> (tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32>)
%y = h3.conv %x, %w <strides [2, 2], pads [0, 0, 0, 0], dilations [1, 1], groups 1> : (tensor<1x3x8x8xf32>, tensor<16x3x3x3xf32>) -> tensor<1x16x4x4xf32>
// CHECK: result has positions [4, 4], expected [3, 3]

// -----

%w = "test.op"() : () -> tensor<8x16xf32>
%p = tile.program %w from [0, 8] step 0 : (tensor<8x16xf32>) -> tensor<8x16xf32, #tile.arrays<@chip::@sram, 0 to 1>>
// CHECK: leaves a weight of shape (8, 16)

// -----

%x, %w = "test.op"() : () -> (tensor<4x8xf32>, tensor<8x16xf32>)
%y = tile.mvm %x, %w step 0 : (tensor<4x8xf32>, tensor<8x16xf32>) -> tensor<4x16xf32>
// CHECK: exactly one of a weight in arrays and `on @chip::@tier` is needed

// -----

%a, %b = "test.op"() : () -> (tensor<4x8xf32>, tensor<4x4xf32>)
%y = tile.join %a, %b axis 1 : (tensor<4x8xf32>, tensor<4x4xf32>) -> tensor<4x16xf32>
// CHECK: pieces add up to 12 of 16

// -----

%w = h3.weight "w" digest "00" absent : tensor<4xf32>
// CHECK: weight 'w' needs one of digest, absent and splat

// -----

tile.switch #tile.arrays<@chip::@edram, 0 to 4> to storage step 0
// CHECK: arrays switch to memory or compute, got 'storage'

// -----

%w = "test.op"() : () -> tensor<40x1280xf32>
tile.ahead %w share 9 of 8 to #tile.arrays<@chip::@edram, 10 to 18> step 3 : tensor<40x1280xf32>
// CHECK: a share is above 0 and at most all

// -----

"test.op"() {rounds = #tile.rounds<count 4, turns 2, passes 1, inputs 4, sums 0, off_chip 1, spilled 0, ahead 9, at #tile.arrays<@chip::@edram, 10 to 26>>} : () -> ()
// CHECK: expected at most 8 arrays ahead, those of a set, got 9

// -----

"test.op"() {rounds = #tile.rounds<count 4, turns 2, passes 1, inputs 4, sums 0, off_chip 1, spilled 0, ahead 0, at #tile.arrays<@chip::@edram>>} : () -> ()
// CHECK: expected 2 equal sets of arrays

// -----

"test.op"() {at = #tile.memory<@chip::@edram, 10 to 8>} : () -> ()
// CHECK: array ranges rise from 0
