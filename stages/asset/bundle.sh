#!/usr/bin/env bash
# Packs all that a machine without a network, Go or pip needs into one file:
# the programs, ONNX Runtime with and without CUDA, studies and notebooks.
#
#   stages/asset/bundle.sh FILE.tar.xz [sm_90]
#
# With a chip, the code for other GPUs is left out, and the file is a third as large.
# bin/barograph, bin/barograph-cuda and bin/gpu must have been built.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: bundle.sh FILE.tar.xz [CHIP]" >&2; exit 2; }
file=$1 chip=${2-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
top=$work/barograph
mkdir -p "$top/bin" "$top/cache/assets"

for program in barograph barograph-cuda gpu; do
	strip -o "$top/bin/$program" "bin/$program"
done
# Each library lies three folders below that of its asset.
go run ./stages/asset/fetch -cuda | while read -r lib; do
	cp -r "${lib%/*/*/*}" "$top/cache/assets/"
done
if [ -n "$chip" ]; then
	for provider in "$top"/cache/assets/*/onnxruntime/capi/libonnxruntime_providers_cuda.so; do
		go run ./stages/device/cuda/chips -keep "$chip" -o "$work/provider" "$provider"
		mv "$work/provider" "$provider"
	done
fi
cp -r configs notebooks README.md LICENSE "$top/"
mkdir -p "$top/bench"
cp -r bench/gpu "$top/bench/"
rm -r "$top/bench/gpu/results"

cat > "$top/barograph" <<'END'
#!/bin/sh
# Runs bin/barograph with the libraries that came with it.
here=$(cd "$(dirname "$0")" && pwd)
export BAROGRAPH_CACHE="${BAROGRAPH_CACHE:-$here/cache}"
exec "$here/bin/barograph" "$@"
END
chmod +x "$top/barograph"

# Like beside like, so that xz sees what they share.
mkdir -p "$(dirname "$file")"
tar -C "$work" --sort=name --owner=0 --group=0 --mtime=@0 -cf - \
	barograph/{barograph,README.md,LICENSE,bench,configs,notebooks,bin,cache} | xz -9 -T0 > "$file.part"
mv "$file.part" "$file"
echo "$file: $(stat -c %s "$file") bytes" >&2
echo "there: tar xJf ${file##*/} && cd barograph && ./barograph doctor" >&2
echo "in parts of 40 MB: split -b 40M $file $file. ; there: cat ${file##*/}.* | tar xJ" >&2
