#!/usr/bin/env bash
# Counts the instructions that decoding and describing take on 32-bit ARM, emulated, for each image:
# the difference between runs of few and many. Needs what test/arm.sh has set up, and QEMU with
# plugins: apt-get install qemu-user gcc
# usage: test/arm_instructions.sh [RECORDING (default: .cache/bench/recording_400x640.npz)]
# Environment: ARM_CACHE, as for test/arm.sh; QEMU_ARM, the emulator (default: qemu-arm).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
cache=$(readlink -m "${ARM_CACHE:-.cache/arm}")
root=$cache/armhf
recording=$(readlink -m "${1:-.cache/bench/recording_400x640.npz}")
few=5 many=15

fail() { echo "arm_instructions.sh: $*" >&2; exit 1; }

qemu=${QEMU_ARM:-qemu-arm}
"$qemu" -h 2>/dev/null | grep -q '^-plugin' || fail "no $qemu with plugins: apt-get install qemu-user"
[ -f "$root/.complete" ] || fail "$root is missing; run: ./dev test-arm"
[ -f "$recording" ] || fail "$recording is missing; run: ./dev bench"
plugin=$cache/instruction_counter.so
gcc -std=c11 -O2 -Wall -Wextra -Werror -shared -fPIC -o "$plugin" test/instruction_counter.c

# total STEP WAY CALLS: instructions of a whole process
total() {
  local lib=$root/usr/lib/arm-linux-gnueabihf output
  output=$("$qemu" -plugin "file=$plugin" -L "$root" \
    -E LD_LIBRARY_PATH="$lib/blas:$lib/lapack:$lib" -E PYTHONPATH="$PWD" \
    -E PYTHONDONTWRITEBYTECODE=1 -E OPENBLAS_NUM_THREADS=1 \
    "$root/usr/bin/python3" -m superpoint_rknn.bench.instructions "$recording" \
    --step "$1" --variant "$2" --calls "$3" 2>&1) || fail "$output"
  [[ $output =~ Collected\ :\ ([0-9]+) ]] || fail "no count: $output"
  echo "${BASH_REMATCH[1]}"
}

echo 'thousands of instructions per image'
for step in decode describe_500; do
  for way in ours baseline; do
    a=$(total $step $way $few)
    b=$(total $step $way $many)
    echo "$step $way $(((b - a) / (many - few) / 1000))"
  done
done
