#!/usr/bin/env bash
# Tests on Debian 13: Slurm 24.11 and Python 3.13 in a folder of their own. Needs root, mounts and debootstrap.
#   tests/newer/run.sh build              make that folder, once: about 3 GB to download
#   tests/newer/run.sh test ARGUMENTS     build, then run pytest there on this checkout
# NEWER=FOLDER: where it lies; by default in the user's cache.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
system=${NEWER:-${XDG_CACHE_HOME:-$HOME/.cache}/resnet-bench/debian13}
packages="slurmctld slurmd slurm-client munge slurmdbd slurm-wlm-mysql-plugin mariadb-server zsh
    python3 python3-venv python3-dev g++ git procps ca-certificates"
uv=0.13.9

skip() {
    echo "Debian 13: skipped, $1"
    if [ -n "${CI:-}" ]; then exit 1; else exit 0; fi  # in CI nothing may skip
}

# The part of this machine that an install needs: name servers; for pip its certificates, configuration and local indexes.
bind_host() {
    local path
    bind /etc/resolv.conf
    bind /etc/hosts
    if [ -e "$system/.packages" ]; then  # not before: the package ca-certificates writes there
        for path in /etc/ssl/certs /etc/pip.conf /etc/xdg/pip ~/.config/pip ~/.pip \
            $(python3 -m pip config list 2> /dev/null | grep -oE "(file://)?/[^' ]+" | sed -e 's#^file://##' -e 's#/simple$##'); do
            bind "$path"
        done
    fi
    bind "$here" /project/checkout rw
    if [ -d "$here/../shared" ]; then bind "$here/../shared" /project/shared; fi
    path=$(git -C "$here" rev-parse --path-format=absolute --git-common-dir 2> /dev/null || true)
    case $path in "" | "$here"/*) ;; *) bind "$path" ;; esac  # a worktree's history lies elsewhere
}

# Nothing in there may write to this machine: read-only, but for the checkout.
bind() {
    [ -e "$1" ] || return 0
    local at=$system${2:-$(realpath -s "$1")}
    if mountpoint -q "$(dirname "$at")"; then return; fi
    if [ -L "$at" ]; then rm "$at"; fi
    if [ ! -e "$at" ]; then
        if [ -d "$1" ]; then mkdir -p "$at"; else mkdir -p "$(dirname "$at")" && touch "$at"; fi
    fi
    mount --bind "$1" "$at"
    if [ "${3:-ro}" = ro ]; then mount -o remount,bind,ro "$at"; fi
}

# Called as `run.sh inside COMMAND`, in a mount and process namespace of its own: mounts and daemons end with it.
inside() {
    mount --make-rprivate /
    mount --rbind /dev "$system/dev"
    mount -t proc proc "$system/proc"
    bind_host
    local index=${PIP_INDEX_URL:-$(python3 -m pip config get global.index-url 2> /dev/null || true)}
    if [ -n "$index" ]; then export UV_DEFAULT_INDEX=$index; fi  # uv does not read the configuration of pip
    unset SLURM_CONF PYTHONDONTWRITEBYTECODE  # uv compiles nothing: what is imported is compiled then
    export HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/tmp
    exec chroot "$system" /bin/bash -euc "cd /project/checkout; $1" bash "${@:2}"
}

enter() { unshare --mount --pid --fork --kill-child "$0" inside "$@"; }

build() {
    mkdir -p "$(dirname "$system")"
    exec 9> "$system.lock"
    flock 9  # one at a time
    if [ ! -e "$system/.base" ]; then
        rm -rf "$system"
        mkdir -p "$system"
        local mirror
        mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 /debian/) || skip "apt knows no mirror of Debian"
        debootstrap --variant=minbase trixie "$system" "$mirror" > "$system.log" 2>&1 || { tail -3 "$system.log"; exit 1; }
        touch "$system/.base"
    fi
    if [ "$(cat "$system/.packages" 2> /dev/null)" != "$packages" ]; then
        echo force-unsafe-io > "$system/etc/dpkg/dpkg.cfg.d/host"  # a folder that is thrown away needs no fsync
        apt-config dump Acquire | grep -vE '"";$' > "$system/etc/apt/apt.conf.d/host"
        printf '#!/bin/sh\nexit 101\n' > "$system/usr/sbin/policy-rc.d"  # no service starts by itself
        chmod +x "$system/usr/sbin/policy-rc.d"
        enter "apt-get update --quiet=2
            DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --no-install-recommends $(echo $packages) > /dev/null"
        echo "$packages" > "$system/.packages"
    fi
    local wanted
    wanted=$(cat "$here/pyproject.toml" "$here/constraints.txt" | sha256sum)
    if [ "$(cat "$system/.python" 2> /dev/null)" != "$wanted" ]; then
        # uv: it fetches and unpacks the libraries of CUDA side by side
        enter "[ -e /venv/bin/uv ] || { python3 -m venv /venv && /venv/bin/python -m pip install --quiet --no-cache-dir uv==$uv; }
            /venv/bin/uv pip install --quiet --no-cache --system-certs --python /venv --constraint constraints.txt --editable '.[dev]'"
        echo "$wanted" > "$system/.python"
    fi
    exec 9>&-
}

case ${1:-} in
    inside) inside "${@:2}" ;;
    build | test)
        [ "$(id -u)" = 0 ] || skip "needs root"
        type -P debootstrap unshare > /dev/null || skip "needs debootstrap: install the package of that name"
        build
        if [ "$1" = test ]; then
            enter 'slurmctld -V; /venv/bin/python -V; exec /venv/bin/python -m pytest "$@"' "${@:2}"
        fi
        ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
