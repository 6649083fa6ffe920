#!/usr/bin/env bash
# Runs the tests of features, runtimes and board-report on 32-bit and 64-bit ARM, emulated, with
# Debian's Python, NumPy and OpenCV, and with the native library. Needs .venv (./dev setup), whose
# onnxruntime computes the outputs that emulate an NPU. Only x86-64 hosts with Debian's or Ubuntu's packages.
# usage: test/arm.sh [PYTEST ARGUMENTS (default: test/features test/native test/tracking
#        test/runtimes test/board_report/test_board_report.py)]
# Environment: ARM_CACHE, where the root file systems go (1.3 GB; default: .cache/arm);
#              ARM_ARCHITECTURES (default: "armhf arm64").
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
cache=$(readlink -m "${ARM_CACHE:-.cache/arm}")

# The host's own mirror, where the host is a Debian 12; the updates of other architectures that
# mmdebstrap would add can be out of step, and are not needed.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' \
  2>/dev/null | head -n 1)

fail() { echo "arm.sh: $*" >&2; exit 1; }

for tool in mmdebstrap qemu-arm-static qemu-aarch64-static \
  cmake arm-linux-gnueabihf-gcc aarch64-linux-gnu-gcc; do
  command -v $tool >/dev/null || fail "missing: $tool; run: apt-get install mmdebstrap cmake" \
    "qemu-user-static gcc-arm-linux-gnueabihf libc6-dev-armhf-cross" \
    "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"
done

packages=python3-numpy,python3-opencv,python3-yaml,python3-pytest,python3-hypothesis

# A root file system without maintainer scripts: nothing in it has to run while it is made.
make_root() {
  local architecture=$1 root=$2
  [ "$(cat "$root/.complete" 2>/dev/null)" = "$packages" ] && return
  echo "arm.sh: setting up $root (a minute)" >&2
  rm -rf "$root"
  mkdir -p "$cache"
  mmdebstrap --quiet --architectures="$architecture" --variant=extract \
    --include="$packages" bookworm "$root" \
    ${mirror:+"deb $mirror bookworm main"} \
    || fail "no root file system for $architecture; try again"
  echo "$packages" > "$root/.complete"
}

# The library of superpoint_rknn/native, in a folder of the package on the path, as the generated
# messages of an editable install.
build_native() {
  local triple=$1 folder=$2/superpoint_rknn/native
  cmake -S superpoint_rknn/native -B "$2/build" -DCMAKE_SYSTEM_NAME=Linux \
    -DCMAKE_SYSTEM_PROCESSOR="${triple%%-*}" -DCMAKE_C_COMPILER="$triple-gcc" \
    -DCMAKE_C_FLAGS=-Werror -DCMAKE_LIBRARY_OUTPUT_DIRECTORY="$folder" >/dev/null \
    && cmake --build "$2/build" >/dev/null || fail "could not build the library of native/"
}

build_standin() {
  local gcc=$1 generation=$2 library=$3 define=${4:-}
  mkdir -p "$(dirname "$library")"
  $gcc -std=c11 -O1 -Wall -Wextra -Werror -shared -fPIC -pthread -DGENERATION="$generation" \
    ${define:+-D"$define"} -o "$library" test/rknn_standin/*.c -lm || fail "could not build $library"
}

run_tests() {
  local architecture=$1 triple=$2 qemu=$3
  shift 3
  local root=$cache/$architecture standins=$cache/standin-$architecture
  local native=$cache/native-$architecture lib
  make_root "$architecture" "$root"
  build_native "$triple" "$native"
  build_standin "$triple-gcc" 1 "$standins/v1/librknn_api.so"
  build_standin "$triple-gcc" 2 "$standins/v2/librknnrt.so"
  build_standin "$triple-gcc" 2 "$standins/v2-WITHOUT_CORE_MASK/librknnrt.so" WITHOUT_CORE_MASK
  lib=$root/usr/lib/$triple
  echo "arm.sh: $architecture" >&2
  $qemu -L "$root" -E LD_LIBRARY_PATH="$lib/blas:$lib/lapack:$lib" -E PYTHONPATH="$PWD:$native" \
    -E PYTHONDONTWRITEBYTECODE=1 -E RKNN_STANDIN_DIR="$standins" -E CC="$triple-gcc" \
    -E GOLDEN_OUTPUTS="$cache/golden_outputs.npz" \
    "$root/usr/bin/python3" -m pytest -q -p no:cacheprovider \
    --ignore-glob='*onnx*' "$@"
}

[ $# -gt 0 ] || set -- test/features test/native test/tracking test/runtimes \
  test/board_report/test_board_report.py
mkdir -p "$cache"
"${VENV:-.venv}/bin/python" test/board_report/make_golden.py "$cache/golden_outputs.npz" \
  || fail "no outputs of the CPU networks; run ./dev setup first"
status=0
for architecture in ${ARM_ARCHITECTURES:-armhf arm64}; do
  case $architecture in
    armhf) run_tests armhf arm-linux-gnueabihf qemu-arm-static "$@" || status=1 ;;
    arm64) run_tests arm64 aarch64-linux-gnu qemu-aarch64-static "$@" || status=1 ;;
    *) fail "unknown architecture '$architecture'" ;;
  esac
done
exit $status
