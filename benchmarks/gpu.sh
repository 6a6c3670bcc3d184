#!/usr/bin/env bash
# What only a GPU can show, each part by itself:
#
#   bash benchmarks/gpu.sh step OUT [CHECKOUT]   one training step, beside the trunk alone and the published code, if
#                                                OUT is followed by a checkout of github.com/Shef-AIRE/MeDSLIP
#   bash benchmarks/gpu.sh loop OUT              whole steps of a run beside their parts, and what waits for the card
#   bash benchmarks/gpu.sh kills OUT             runs killed again and again, in deterministic mode and outside it
#   bash benchmarks/gpu.sh study OUT             profile full-size, from data to grounding
#
# Each takes some ten minutes with an H100 and 16 cores, writes its figures into the folder OUT, and wants the machine
# for itself. PYTHON names another python than that of the environment VENV (.venv).
set -euo pipefail
usage="usage: bash benchmarks/gpu.sh step|loop|kills|study OUT [CHECKOUT]"
part=${1:-} out=${2:-}
if [[ ! $part =~ ^(step|loop|kills|study)$ || -z $out ]]; then
    echo "$usage" >&2
    exit 2
fi
out=$(realpath -m "$out") published=${3:+$(realpath -m "$3")}
cd "$(dirname "$0")/.."
python=${PYTHON:-${VENV:-.venv}/bin/python}
"$python" -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "torch sees no GPU here")'
mkdir -p "$out"

case $part in
step)
    for batch in 64 256; do
        "$python" benchmarks/train_step.py --batch $batch --bf16 --compile --seconds 240 \
            ${published:+--published "$published" --published-batch 64} --json "$out/train_step_$batch.json"
    done ;;
loop)
    for batch in 64 256; do
        "$python" benchmarks/training_loop.py --batch $batch --precision bf16 --compile --seconds 120 \
            --json "$out/training_loop_$batch.json"
    done ;;
kills)
    for campaign in kill-training-on-gpu kill-unsteady-training-on-gpu; do
        "$python" -m tests.faults.campaigns $campaign --count 30 --json "$out/$campaign.json"
    done ;;
study)
    for chapter in phantom corpus pretraining zero_shot grounding; do
        "$python" -m pipeline.run_chapter $chapter --profile full-size
    done
    "$python" benchmarks/full_size.py --json "$out/full_size.json" ;;
esac
