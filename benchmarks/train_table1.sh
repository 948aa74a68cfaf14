#!/usr/bin/env bash
# Trains the D-VQVAE of the cell-free paper at the scale of its Table I on one GPU with 24 GB. An interrupted training
# continues from its last checkpoint with the same command. OUT: folder of the run; WORKERS: processes that draw samples.
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/isac train cell_free_table1 --scheme dvqvae_paper --device cuda --precision bfloat16 \
    --epochs 100 --batch-size 16 --workers "${WORKERS:-8}" --out "${OUT:-runs/table1-dvqvae_paper}" "$@"
