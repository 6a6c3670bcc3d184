"""`accelerate launch -m medslip_core.pretrain` on two processes, as a person would start it."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import yaml
from faults.campaigns.tiny_run import free_port

from data_prep.corpus import prepare
from medslip_core.losses.objective import TERMS
from medslip_core.pretrain import main

VALUES = dict(
    seed=5, epochs=2, batch_size=2, warmup_epochs=0.5, frozen_batch_norm=True, log_every_steps=1, best_by="total",
    result="last", device="cpu", tensorboard=False, text_encoder="packaged-minilm", unmentioned_as="absent",
    model=dict(backbone="test_resnet", image_size=32, hidden_dim=16, decoder_layers=1, decoder_heads=2,
               feed_forward_dim=16, dropout=0.0),
)  # fmt: skip


def test_two_launched_processes_see_the_losses_of_one(mimic_layout, tmp_path):
    corpus = prepare("mimic", mimic_layout, tmp_path / "corpus", 40)
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump({**VALUES, "corpus": str(corpus), "run_folder": str(tmp_path / "two")}))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2",
              "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no",
              "--main_process_port", str(free_port()),
              "-m", "medslip_core.pretrain", "--params", str(file)]  # fmt: skip
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(launch, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("each 2 processes x 1 images; cpu (threads: 1)") == 1
    assert done.stderr.count(f"model saved in {tmp_path / 'two' / 'model'}") == 1
    main(["--params", str(file), "--run-folder", str(tmp_path / "one")])
    two, one = (pd.read_csv(tmp_path / name / "history.csv") for name in ("two", "one"))
    assert len(one) == 4  # two steps and two validations
    np.testing.assert_allclose(two[list(TERMS)], one[list(TERMS)], rtol=1e-5)
    assert (tmp_path / "two" / "model" / "config.json").exists()
