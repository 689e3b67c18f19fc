#!/bin/sh
# scripts/bits.py on aarch64, emulated, against the committed bits. Arguments go to it: --real.
#
# On Debian or Ubuntu for x86-64, with qemu-user installed (apt-get install qemu-user); the foreign
# architecture is removed again. What it fetches lies in .cache/aarch64: Python as Debian has it,
# unpacked and not installed, and the wheels of that platform.
set -eu
cd "$(dirname "$0")/.."
home="$PWD/.cache/aarch64"
root="$home/root"
python="$root/usr/bin/python3.11"

if [ ! -x "$python" ]; then
    mkdir -p "$home/packages" "$root"
    dpkg --add-architecture arm64
    trap 'dpkg --remove-architecture arm64' EXIT
    apt-get update -qq
    (
        cd "$home/packages"
        for name in python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 libexpat1 \
            zlib1g libssl3 libffi8 libbz2-1.0 liblzma5 libuuid1 libgcc-s1 libstdc++6 libcrypt1; do
            apt-get download -qq "$name:arm64"
        done
        for package in *.deb; do dpkg -x "$package" "$root"; done
    )
fi

.venv/bin/uv pip install --quiet --target "$home/site" --python-platform aarch64-unknown-linux-gnu \
    --python-version 3.11 --only-binary :all: numba==0.68.1 numpy==2.4.6 onnx==1.23.2 \
    safe-pysha3==1.0.7

export PYTHONPATH="$PWD:$home/site"
qemu-aarch64 -L "$root" "$python" scripts/bits.py --check "$@"
