#!/usr/bin/env bash
# Everything that must be seen on a GPU, as one script of less than ten minutes that prints one table.
#
#   bench/gpu.sh pack [FOLDER]   on the machine that builds: the module, its tests, the measurement and their libraries into FOLDER
#                                (default: build/gpu), some megabytes
#   bench/gpu.sh run [FOLDER]    on the machine with the GPU, which needs a driver; PyTorch, compute-sanitizer and nvidia-smi are used
#                                where they are there
#
# `run` ends with 1 when a test failed; a tool that is missing or refused is told, and is no failure. Logs go to $OUT, or FOLDER/logs.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

folder=$(readlink -m "${2:-build/gpu}")

pack() {
  local build=build/release programs=(bench/tessera_gpu_bench tests/kernels/cuda/cuda_kernels_test) program
  ninja -C "$build" kernels/cuda/libtessera_cuda.so "${programs[@]}"
  rm -rf "$folder"
  mkdir -p "$folder/lib"
  cp "$build/kernels/cuda/libtessera_cuda.so" "$folder"
  for program in "${programs[@]}"; do
    cp "$build/$program" "$folder"
    # What the other machine may lack; the C library itself is its own.
    ldd "$build/$program" | awk '$3 ~ /^\// && $1 !~ /^(libc|libm|libdl|librt|libpthread|ld-linux.*)\.so/ {print $3}' |
      while read -r library; do cp -Lu "$library" "$folder/lib"; done
  done
  git describe --always --dirty >"$folder/commit"
  du -sh "$folder"
}

section() { printf '\n== %s\n' "$*"; }

run() {
  local logs=${OUT:-$folder/logs} ceiling=0 status=0 sanitizer=
  mkdir -p "$logs"
  export TESSERA_CUDA_MODULE=$folder/libtessera_cuda.so
  # For our programs only: PyTorch has libraries of its own.
  local ours=(env "LD_LIBRARY_PATH=$folder/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}")
  section "machine"
  echo "commit $(cat "$folder/commit"), $(date -u +%F)"
  nvidia-smi --query-gpu=name,memory.total,driver_version,compute_cap --format=csv,noheader || echo "nvidia-smi is not there"

  section "kernels on the device against the reference, to the bit"
  if timeout 150 "${ours[@]}" "$folder/cuda_kernels_test" --log_level=test_suite --color_output=no >"$logs/kernels.log" 2>&1; then
    tail -n 2 "$logs/kernels.log"
  else
    status=1
    grep -E 'error|fatal' "$logs/kernels.log" | head -n 20 || true
    tail -n 3 "$logs/kernels.log"
  fi

  section "compute-sanitizer"
  for tool in memcheck racecheck; do
    if ! command -v compute-sanitizer >/dev/null; then
      echo "compute-sanitizer is not there: $tool was not run"
      continue
    fi
    # The cases with few launches: under the sanitizer each takes a hundred times as long.
    sanitizer=$(timeout 45 "${ours[@]}" compute-sanitizer --tool "$tool" --error-exitcode 9 "$folder/cuda_kernels_test" \
      --run_test='device_matmul/every_number*:device_attention/every_length*' 2>&1) && code=0 || code=$?
    printf '%s\n' "$sanitizer" >"$logs/$tool.log"
    case $code in
      0) echo "$tool: nothing found" ;;
      9)
        echo "$tool: FAULTS FOUND"
        head -n 12 "$logs/$tool.log"
        status=1
        ;;
      124) echo "$tool: not finished within 45 seconds" ;;
      *) echo "$tool: did not run here: $(tail -n 1 "$logs/$tool.log")" ;;
    esac
  done

  section "PyTorch"
  if timeout 150 python3 bench/gpu_torch.py "$logs/torch.json" >"$logs/torch.log" 2>&1; then
    cat "$logs/torch.log"
    ceiling=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["read_gb_per_s"])' "$logs/torch.json")
  else
    echo "not measured: $(tail -n 1 "$logs/torch.log")"
  fi

  section "Tessera (share of $ceiling GB/s, PyTorch's read rate; 0: not measured)"
  timeout 180 "${ours[@]}" "$folder/tessera_gpu_bench" "$TESSERA_CUDA_MODULE" --ceiling "$ceiling" 2>&1 | tee "$logs/bench.log" || status=1
  return $status
}

case ${1-} in
  pack) pack ;;
  run) run ;;
  *)
    sed -n '2,11p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
