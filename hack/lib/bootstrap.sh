# shellcheck shell=sh
# Sourced by hack/up and hack/test: brings a bare Debian 12 machine to where the TypeScript programs can run.
# Expects $root (the checkout) to be set.
: "${root:?}"

say() { printf '%s\n' "$*"; }
die() {
  printf 'hack/%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

require_root() {
  [ "$(id -u)" -eq 0 ] || die "this needs root: run 'sudo $0'"
}

# require_disk DIRECTORY MEGABYTES: the nearest existing parent of DIRECTORY needs that much free space.
require_disk() {
  dir=$1
  while [ ! -d "$dir" ]; do dir=$(dirname "$dir"); done
  free=$(df -Pm "$dir" | awk 'NR == 2 { print $4 }')
  [ "$free" -ge "$2" ] || die "$dir has $free MiB free, but $2 MiB are needed; free some space or choose another --data-dir"
}

# install_packages PACKAGE...: installs those that are missing, and says so.
install_packages() {
  missing=
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  say "Installing Debian packages:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt_log=$(mktemp)
  # Services of these packages are configured and started by us, so the packages must not start them.
  policy=/usr/sbin/policy-rc.d
  made_policy=
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made_policy=yes
  fi
  status=0
  # shellcheck disable=SC2086
  { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$apt_log" 2>&1 || status=$?
  [ -z "$made_policy" ] || rm -f "$policy"
  if [ "$status" -ne 0 ]; then
    tail -n 20 "$apt_log" >&2
    die "apt-get could not install:$missing (whole log: $apt_log)"
  fi
  rm -f "$apt_log"
}

# install_node_modules: npm ci, only when package-lock.json has changed since the last time.
install_node_modules() {
  stamp=$root/node_modules/.kubits-lock
  if [ -f "$stamp" ] && cmp -s "$root/package-lock.json" "$stamp" && "$root/hack/node" -e 0; then return 0; fi
  command -v npm >/dev/null 2>&1 || install_packages nodejs npm
  install_packages libatomic1
  say "Installing npm packages (npm ci)"
  npm_log=$(mktemp)
  if ! (cd "$root" && npm ci --no-audit --no-fund) >"$npm_log" 2>&1; then
    tail -n 20 "$npm_log" >&2
    die "npm ci failed (whole log: $npm_log)"
  fi
  rm -f "$npm_log"
  cp "$root/package-lock.json" "$stamp"
}

# fetch_sid_package PACKAGE DIRECTORY: unpacks a package of Debian sid without installing it, for programs whose version
# in Debian 12 is too old.
fetch_sid_package() {
  work=$(mktemp -d)
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  # shellcheck disable=SC2016 # $(SITE) is apt-get's, not the shell's
  mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -v security | head -n 1)
  printf 'deb [signed-by=%s] %s sid main\n' "$keyring" "${mirror:-http://deb.debian.org/debian}" >"$work/sid.list"
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$2"
  set -- "$1" "$2" -o "Dir::Etc::sourcelist=$work/sid.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists" \
    -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root
  package=$1
  target=$2
  shift 2
  if ! (cd "$work" && apt-get "$@" update && apt-get "$@" download "$package/sid") >"$work/log" 2>&1; then
    tail -n 10 "$work/log" >&2
    die "could not fetch $package from Debian sid"
  fi
  dpkg -x "$work/$package"_*.deb "$target"
  rm -rf "$work"
}

# own_kubectl: the kubectl of this API level, below the checkout; Debian 12's own (1.20) is too old.
own_kubectl() {
  [ -x "$root/.kubits/kubectl/usr/bin/kubectl" ] && return 0
  say "Fetching kubectl 1.36 (Debian sid)"
  fetch_sid_package kubectl "$root/.kubits/kubectl"
}

# install_kubectl: makes sure that there is a kubectl, and that it is on the PATH of what is started from here.
install_kubectl() {
  command -v kubectl >/dev/null 2>&1 && return 0
  own_kubectl
  PATH=$PATH:$root/.kubits/kubectl/usr/bin
  export PATH
}
