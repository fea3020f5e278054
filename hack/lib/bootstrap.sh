# shellcheck shell=sh
# Sourced by hack/up and hack/test: brings a bare Debian 12 machine to where the TypeScript programs can run.
# Expects $root (the checkout) to be set.
: "${root:?}"

say() { printf '%s\n' "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
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

# install_kubectl: Debian's kubernetes-client, unless a kubectl is there.
install_kubectl() {
  command -v kubectl >/dev/null 2>&1 || install_packages kubernetes-client
}
