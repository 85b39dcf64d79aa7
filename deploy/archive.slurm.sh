#!/bin/bash
# A SLURM array over an archive's shards: PLAN=plan.jsonl RESULTS=results sbatch deploy/archive.slurm.sh --model small
# Sixteen tasks, each with its share of the shards. Submitted again, it does what is left; docs/archives.md says more.
#SBATCH --job-name=autorag-whisper
#SBATCH --array=0-15
#SBATCH --cpus-per-task=8
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --output=archive-%A_%a.log
# With cards: #SBATCH --gpus-per-task=1
set -euo pipefail

: "${PLAN:?the plan, made by autorag-whisper archive plan}" "${RESULTS:?a folder that all nodes share}"

# The workers of a task use its own cores alone. A node that is drained sends SIGTERM: results are kept, the task is requeued.
export AUTORAG_WHISPER_THREADS="${SLURM_CPUS_PER_TASK:-0}"
exec autorag-whisper archive run "$PLAN" -o "$RESULTS" \
  --shard "$((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN))/$SLURM_ARRAY_TASK_COUNT" "$@"
