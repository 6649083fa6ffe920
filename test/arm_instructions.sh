#!/usr/bin/env bash
# Counts the instructions that decoding and describing take on ARM, emulated, for each image: the
# difference between runs of few and many. `ours` is what the extractor picks, the native library.
# Needs what test/arm.sh has set up, and QEMU with plugins: apt-get install qemu-user gcc
# usage: test/arm_instructions.sh [RECORDING (default: .cache/bench/recording_400x640.npz)]
# Environment: ARM_CACHE, ARM_ARCHITECTURES, as for test/arm.sh.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
cache=$(readlink -m "${ARM_CACHE:-.cache/arm}")
recording=$(readlink -m "${1:-.cache/bench/recording_400x640.npz}")
few=5 many=15

fail() { echo "arm_instructions.sh: $*" >&2; exit 1; }

[ -f "$recording" ] || fail "$recording is missing; run: ./dev bench"
mkdir -p "$cache"
plugin=$cache/instruction_counter.so
gcc -std=c11 -O2 -Wall -Wextra -Werror -shared -fPIC -o "$plugin" test/instruction_counter.c

# total ARCHITECTURE TRIPLE QEMU STEP VARIANT CALLS: instructions of a whole process
total() {
  local root=$cache/$1 lib=$cache/$1/usr/lib/$2 native=$cache/native-$1 output
  output=$("$3" -plugin "file=$plugin" -L "$root" \
    -E LD_LIBRARY_PATH="$lib/blas:$lib/lapack:$lib" -E PYTHONPATH="$PWD:$native" \
    -E PYTHONDONTWRITEBYTECODE=1 -E OPENBLAS_NUM_THREADS=1 -E PYTHONHASHSEED=0 \
    "$root/usr/bin/python3" -m superpoint_rknn.bench.instructions "$recording" \
    --step "$4" --variant "$5" --calls "$6" 2>&1) || fail "$output"
  [[ $output =~ Collected\ :\ ([0-9]+) ]] || fail "no count: $output"
  echo "${BASH_REMATCH[1]}"
}

# count ARCHITECTURE TRIPLE QEMU: print the counts of all steps
count() {
  local step variant a b
  "$3" -h 2>/dev/null | grep -q '^-plugin' || fail "no $3 with plugins: apt-get install qemu-user"
  [ -f "$cache/$1/.complete" ] && [ -d "$cache/native-$1" ] \
    || fail "$cache/$1 is missing; run: ./dev test-arm"
  for step in decode refine_500 describe_500; do
    for variant in ours baseline; do
      a=$(total "$@" $step $variant $few)
      b=$(total "$@" $step $variant $many)
      echo "$1 $step $variant $(((b - a) / (many - few) / 1000))"
    done
  done
}

echo 'thousands of instructions per image'
for architecture in ${ARM_ARCHITECTURES:-armhf arm64}; do
  case $architecture in
    armhf) count armhf arm-linux-gnueabihf qemu-arm ;;
    arm64) count arm64 aarch64-linux-gnu qemu-aarch64 ;;
    *) fail "unknown architecture '$architecture'" ;;
  esac
done
