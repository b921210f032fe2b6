#!/usr/bin/env bash
# Workers of one study as a job array; each task is one worker. KAS_STORAGE: a storage that all nodes reach, as grpc://HOST:PORT.
#   sbatch --array=1-16 --gres=gpu:1 docker/slurm.sh studies/digits.yaml
#SBATCH --job-name=kas
#SBATCH --array=1-4
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=24:00:00
#SBATCH --requeue
# Two minutes before the end, or when it is pre-empted, a worker is asked to leave: its trial goes on elsewhere.
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
set -euo pipefail

study="${1:?the study file, as in: sbatch docker/slurm.sh studies/digits.yaml}"
: "${KAS_STORAGE:?a storage that all nodes reach, as in grpc://HOST:13000 or postgresql+psycopg://kas@HOST/kas}"

export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
exec srun "${KAS_PYTHON:-python}" -m kas.study run "$study" --dir "${KAS_RUNS:-runs}"
