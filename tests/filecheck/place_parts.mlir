// RUN: h3c-opt %s -p 'attach-chip{target=h3pimap},place-parts{objective=energy},verify-placement' | filecheck %s
// RUN: h3c-opt %s -p 'attach-chip{target=h3pimap},place-parts{strategy=homogeneous tier=sram}' | filecheck %s --check-prefix=SRAM
// RUN: not h3c-opt %s -p 'attach-chip{target=h3pimap},place-parts{strategy=homogeneous tier=flash}' 2>&1 | filecheck %s --check-prefix=TIER
// RUN: not h3c-opt %s -p 'attach-chip{target=h3pimap},verify-placement' 2>&1 | filecheck %s --check-prefix=NONE
// Every operator gets parts that cover its outputs; a product of two run-time values stays off the crossbars.

builtin.module {
  func.func @main(%x: tensor<64x64xf32> {h3.name = "x"}) -> (tensor<64x64xf32> {h3.name = "y"}) {
    %w = h3.weight "w" absent : tensor<64x96xf32>
    %a = h3.matmul %x, %w : (tensor<64x64xf32>, tensor<64x96xf32>) -> tensor<64x96xf32>
    %y = h3.matmul %a, %a transposed : (tensor<64x96xf32>, tensor<64x96xf32>) -> tensor<64x64xf32>
    func.return %y : tensor<64x64xf32>
  }
}

// CHECK:      h3.solution = {bound = {{.*}}, gap = {{.*}}, kept = "{{.*}}", objective = "energy", predicted_energy_pj = {{.*}}, predicted_latency_ns = {{.*}}, status = "{{.*}}", strategy = "exact"}
// CHECK:      h3.matmul %x, %w on [#h3.part<@chip::@{{.*}}, outputs 0 to
// CHECK:      h3.matmul {{.*}} transposed on [#h3.part<@chip::@{{photonic|digital}}, outputs 0 to

// SRAM:       h3.matmul %x, %w on [#h3.part<@chip::@sram, outputs 0 to 96, copies
// SRAM:       h3.matmul {{.*}} transposed on [#h3.part<@chip::@{{photonic|digital}}, outputs 0 to 64

// TIER: h3c-opt: chip h3pimap: expected one of the tiers sram, reram, photonic, digital, got 'flash'
// NONE: h3c-opt: h3.matmul: expected parts (run place-parts), found none
