"""How well, and in what time, an original network trains: `python tests/benchmarks/training.py --data cluttered`.

Prints the validation accuracy after each epoch, and the seconds, for each seed. `cluttered` is meant to leave a small
ResNet between 60 % and 90 %; `digits` to take seconds and end above 95 %.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile

import torch

from kas.evaluation import make_data, make_model, train
from kas.evaluation.settings import DataSettings, ModelSettings, TrainingSettings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="cluttered", help="cluttered, digits, mnist5k or mnist5k_columns")
    parser.add_argument("--model", default="small_resnet")
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--lr", type=float, default=TrainingSettings().lr)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = make_data(DataSettings(name=options.data))
    settings = TrainingSettings(epochs=options.epochs, lr=options.lr)
    accuracies = []
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        network = ModelSettings(name=options.model, args={"width": options.width})
        model = make_model(network, data.num_classes, data.input_shape)
        with tempfile.TemporaryDirectory() as folder:
            result = train(model, data, settings, folder=folder, seed=seed, device="cpu")
        epochs = " ".join(f"{report.accuracy:.3f}" for report in result.history)
        print(f"{options.data}, {options.model} {options.width}, seed {seed}: {epochs} in {result.seconds:.1f} s", flush=True)
        accuracies.append(result.accuracy)
    print(f"accuracy {statistics.mean(accuracies):.3f}, {len(accuracies)} seeds")


if __name__ == "__main__":
    main()
