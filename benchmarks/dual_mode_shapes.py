"""The networks and chips of the dual-mode comparison, from their dimensions: 8-bit weights and activations.

Language models are their blocks, without embedding and last projection. Digital work is free, for every strategy alike.
"""

from __future__ import annotations

from h3c.passes.segmentation.problem import SegmentChip, SegmentOperator, SegmentProblem

CYCLE_PS = 4000
"""250 MHz, assumed; ratios do not depend on it."""

TRANSFORMERS = {
    "BERT-large": (24, 1024, 16, 4096, False),
    "LLaMA2-7B": (32, 4096, 32, 11008, True),
    "OPT-6.7B": (32, 4096, 32, 16384, False),
    "OPT-13B": (40, 5120, 40, 20480, False),
}
"""Layers, width, heads, width of the feed-forward part, whether that has a gate."""
CNNS = ("MobileNetV2", "ResNet-18", "VGG16")


def dynaplasia_like(
    mvm_cycles: int,
    dram: float,
    buffer: float,
    memory: float,
    *,
    line_buffer: bool,
    write: float = 320.0,
    cap: float = 1e9,
) -> SegmentChip:
    """96 arrays of 320 x 40 weights; rates in bytes a cycle, each port for both directions."""
    rate = 1000.0 / CYCLE_PS
    return SegmentChip(
        arrays=96,
        array_rows=320,
        array_cols=40,
        array_bytes=12800,
        mvm_ps=mvm_cycles * CYCLE_PS,
        dram_read_bytes_per_ns=dram * rate,
        dram_write_bytes_per_ns=dram * rate,
        buffer_in_bytes_per_ns=buffer * rate,
        buffer_out_bytes_per_ns=buffer * rate,
        buffer_bytes=81920,
        memory_bytes_per_ns=memory * rate,
        memory_cap_bytes_per_ns=cap * rate,
        write_row_ps=round(40 / write * 8 * CYCLE_PS),
        write_ports=8,
        switch_to_memory_ps=CYCLE_PS,
        switch_to_compute_ps=CYCLE_PS,
        dram_shared=True,
        buffer_shared=True,
        broadcast_copies=True,
        line_buffer=line_buffer,
    )


REFERENCE_CHIPS = {
    "R1": dynaplasia_like(32, 64, 32, 4, line_buffer=False),
    "R2": dynaplasia_like(126, 64, 32, 4, line_buffer=True),
    "R3": dynaplasia_like(32, 64, 128, 4, line_buffer=True),
}
"""R1: near the paper's figures (inputs anew for each window); R2: near the silicon; R3: a rich buffer."""


def prime_like(arrays: int, write: float, mvm_ns: int = 100, buffer: float = 256.0) -> SegmentChip:
    """Arrays of 256 x 128 weights; off chip 128 bytes a ns, `write` bytes a ns into all arrays, 1 MB of buffer."""
    return SegmentChip(
        arrays=arrays,
        array_rows=256,
        array_cols=128,
        array_bytes=32768,
        mvm_ps=mvm_ns * 1000,
        dram_read_bytes_per_ns=128.0,
        dram_write_bytes_per_ns=128.0,
        buffer_in_bytes_per_ns=buffer,
        buffer_out_bytes_per_ns=buffer,
        buffer_bytes=1 << 20,
        memory_bytes_per_ns=4.0,
        memory_cap_bytes_per_ns=1e6,
        write_row_ps=round(128 / write * 1000),
        write_ports=1,
        switch_to_memory_ps=1000,
        switch_to_compute_ps=1000,
        dram_shared=True,
        buffer_shared=True,
        broadcast_copies=True,
        line_buffer=True,
    )


def operators_of(model: str, batch: int, length: int) -> list[SegmentOperator]:
    """The matrix operators of a model; `length` is of sequences."""
    if model in TRANSFORMERS:
        return transformer(*TRANSFORMERS[model], batch, length)
    return {"MobileNetV2": mobilenet_v2, "ResNet-18": resnet18, "VGG16": vgg16}[model](batch)


def problem_of(model: str, chip: SegmentChip, batch: int = 1, length: int = 64) -> SegmentProblem:
    """A model on a chip."""
    return SegmentProblem(chip, tuple(operators_of(model, batch, length)))


def dense(
    name: str, m: int, k: int, n: int, producers: tuple[int, ...], *, barrier: bool = False, is_output: bool = False
) -> SegmentOperator:
    """m vectors with one k x n weight."""
    return SegmentOperator(
        name, m, k, n, 1, k * n, m * k, m * k, m * n, producers, barrier=barrier, is_output=is_output
    )


def transformer(
    layers: int, width: int, heads: int, inner: int, gated: bool, batch: int, length: int
) -> list[SegmentOperator]:
    """Prefill. The residual of a block is read where it is added: by the output projection and the last one."""
    ops: list[SegmentOperator] = []
    m, head, groups = batch * length, width // heads, batch * heads
    scores, vectors = groups * length * length, m * width
    for layer in range(layers):
        x, i = ((len(ops) - 1,) if ops else ()), len(ops)
        ops += [dense(f"{layer}.{name}", m, width, width, x) for name in "qkv"]
        qk = SegmentOperator(
            f"{layer}.qk", length, head, length, groups, vectors, vectors, vectors, scores, (i,), i + 1
        )
        av = SegmentOperator(
            f"{layer}.av", length, length, head, groups, vectors, scores, scores, vectors, (i + 3,), i + 2, True
        )
        ops += [qk, av, dense(f"{layer}.o", m, width, width, (i + 4, *x))]
        ops += [dense(f"{layer}.{name}", m, width, inner, (i + 5,)) for name in (("gate", "up") if gated else ("up",))]
        up = tuple(range(i + 6, len(ops)))
        last = layer == layers - 1
        ops.append(dense(f"{layer}.down", m, inner, width, (*up, i + 5), is_output=last))
    return ops


def decode(
    layers: int, width: int, heads: int, inner: int, gated: bool, batch: int, cached: int
) -> list[SegmentOperator]:
    """One token a sequence, with `cached` tokens behind it: keys and values come from off chip, as weights do."""
    ops: list[SegmentOperator] = []
    head, groups = width // heads, batch * heads
    scores, vectors, cache = groups * cached, batch * width, batch * cached * width
    for layer in range(layers):
        x, i = ((len(ops) - 1,) if ops else ()), len(ops)
        ops += [dense(f"{layer}.{name}", batch, width, width, x) for name in "qkv"]
        qk = SegmentOperator(
            f"{layer}.qk", 1, head, cached, groups, cache, vectors, vectors, scores, (i, i + 1), barrier=True
        )
        av = SegmentOperator(
            f"{layer}.av", 1, cached, head, groups, cache, scores, scores, vectors, (i + 2, i + 3), barrier=True
        )
        ops += [qk, av, dense(f"{layer}.o", batch, width, width, (i + 4, *x))]
        ops += [
            dense(f"{layer}.{name}", batch, width, inner, (i + 5,)) for name in (("gate", "up") if gated else ("up",))
        ]
        up = tuple(range(i + 6, len(ops)))
        ops.append(dense(f"{layer}.down", batch, inner, width, (*up, i + 5), is_output=layer == layers - 1))
    return ops


class _Cnn:
    """Convolutions one after another; images of a batch follow each other."""

    def __init__(self, batch: int, side: int):
        self.batch, self.side, self.ops = batch, side, list[SegmentOperator]()

    def conv(
        self,
        into: int,
        out: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        *,
        side: int | None = None,
        skip: tuple[int, ...] = (),
        pool: int = 1,
        source: int | None = None,
    ) -> int:
        """Appends a convolution; `pool` shrinks what it writes, `skip` are operators whose output is added."""
        side = self.side if side is None else side
        made = -(-side // stride)
        m, k = self.batch * made * made, into // groups * kernel * kernel
        before = len(self.ops) - 1 if source is None else source
        self.ops.append(
            SegmentOperator(
                f"conv{len(self.ops)}",
                m,
                k,
                out // groups,
                groups,
                k * out,
                self.batch * side * side * into,
                m * k * groups,
                m * out // (pool * pool),
                tuple(sorted({before, *skip})) if self.ops else (),
                lead=(kernel - 1) / (side * self.batch),
            )
        )
        self.side = made // pool
        return len(self.ops) - 1

    def fully(self, k: int, n: int, *, last: bool = False) -> None:
        """Appends a fully connected layer on all that there is of each image."""
        source = len(self.ops) - 1
        whole = self.ops[source].m > self.batch
        self.ops.append(dense(f"fc{len(self.ops)}", self.batch, k, n, (source,), is_output=last, barrier=whole))


def vgg16(batch: int) -> list[SegmentOperator]:
    """13 convolutions, 3 fully connected layers."""
    net, into = _Cnn(batch, 224), 3
    for out, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for i in range(count):
            net.conv(into, out, 3, pool=2 if i == count - 1 else 1)
            into = out
    net.fully(25088, 4096)
    net.fully(4096, 4096)
    net.fully(4096, 1000, last=True)
    return net.ops


def resnet18(batch: int) -> list[SegmentOperator]:
    """Four stages of two basic blocks."""
    net = _Cnn(batch, 224)
    x = net.conv(3, 64, 7, 2, pool=2)
    into = 64
    for out in (64, 128, 256, 512):
        for _ in range(2):
            stride, side = (2 if out != into else 1), net.side
            skip = x
            net.conv(into, out, 3, stride, source=x)
            if stride == 2:
                skip = net.conv(into, out, 1, stride, side=side, source=x)
                x = net.conv(out, out, 3, source=skip - 1, skip=(skip,))
            else:
                x = net.conv(out, out, 3, skip=(skip,))
            into = out
    net.fully(512, 1000, last=True)
    return net.ops


def mobilenet_v2(batch: int) -> list[SegmentOperator]:
    """17 inverted residuals."""
    net = _Cnn(batch, 224)
    x = net.conv(3, 32, 3, 2)
    into = 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, out, count, first_stride in table:
        for i in range(count):
            stride, wide = (first_stride if i == 0 else 1), into * expand
            if expand > 1:
                net.conv(into, wide, 1)
            net.conv(wide, wide, 3, stride, groups=wide)
            skip = (x,) if stride == 1 and into == out else ()
            x = net.conv(wide, out, 1, skip=skip)
            into = out
    net.conv(into, 1280, 1)
    net.fully(1280, 1000, last=True)
    return net.ops
