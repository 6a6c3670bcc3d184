"""The worked example for Slurm: what it starts on which process, and what it does when it is stopped before the end."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from medslip_core.pretrain_params import PretrainParams

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "slurm"

STAND_INS = {
    "scontrol": """#!/bin/bash
if [ "$1" = show ]; then printf 'node7\\nnode8\\n'; else echo "scontrol $*" >> calls; fi
""",
    "srun": """#!/bin/bash
[ "$1 $2" = "--kill-on-bad-exit=1 --cpus-per-task=6" ] && shift 2
for number in 0 1 2 3; do
    SLURM_PROCID=$number SLURM_LOCALID=$((number % 2)) "$@" || worst=$?
done
exit ${worst:-0}
""",
    "python": """#!/bin/bash
echo "$RANK $LOCAL_RANK $WORLD_SIZE $MASTER_ADDR $MASTER_PORT $OMP_NUM_THREADS: $*" >> calls
exit $STATUS
""",
}


@pytest.mark.parametrize("status", [0, 143, 1])
def test_every_task_is_one_process_and_a_stopped_job_is_queued_again(status: int, tmp_path: Path) -> None:
    for name, script in STAND_INS.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    job = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "STATUS": str(status), "SLURM_JOB_ID": "40012", "SLURM_NTASKS": "4",
        "SLURM_JOB_NODELIST": "node[7-8]", "SLURM_CPUS_PER_TASK": "6",
    }  # fmt: skip
    command = ["bash", str(EXAMPLE / "pretrain.sbatch"), "my params.yaml"]
    assert subprocess.run(command, cwd=tmp_path, env=job).returncode == status
    place = "4 node7 20012 6: -m medslip_core.pretrain --params my params.yaml"
    requeued = ["scontrol requeue 40012"] if status == 143 else []
    assert (tmp_path / "calls").read_text().splitlines() == [
        f"0 0 {place}", f"1 1 {place}", f"2 0 {place}", f"3 1 {place}", *requeued
    ]  # fmt: skip


def test_its_parameters_are_valid() -> None:
    values = yaml.safe_load((EXAMPLE / "params.yaml").read_text())
    assert values.pop("corpus") and values.pop("run_folder")
    assert PretrainParams.from_dict(values).batch_size % 16 == 0
