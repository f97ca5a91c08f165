"""Say in a few lines what `make demo` has just computed, from the files that it wrote.

python models/demo.py build/demo
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort

HERE = Path(__file__).parent


def right(logits: np.ndarray, labels: np.ndarray) -> str:
    """How many images got the highest logit where their label is."""
    count = int((logits.argmax(1) == labels).sum())
    return f"{count} of {len(labels)} ({count / len(labels):.1%})"


def main() -> None:
    """Compare the outputs of the simulated chip with labels and with onnxruntime."""
    folder = Path(sys.argv[1])
    run = json.loads((folder / "run.json").read_text())
    data = np.load(HERE / "digits.npz")
    logits = np.load(folder / "logits.npz")["logits"]
    session = ort.InferenceSession(str(HERE / "digits_cnn.onnx"))
    reference = np.asarray(session.run(None, {"image": data["x_test"]})[0])
    same = float((logits.argmax(1) == reference.argmax(1)).mean())
    print(f"digits recognised on the simulated {run['target']}: {right(logits, data['y_test'])}, ", end="")
    print(f"by onnxruntime: {right(reference, data['y_test'])}; both say the same of {same:.1%}")
    print(f"{folder}/plan.mlir is the plan to read, {folder}/trace.json its timeline for https://ui.perfetto.dev")


if __name__ == "__main__":
    main()
