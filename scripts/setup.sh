#!/bin/sh
# Sets up a checkout: system packages, npm packages, Node 24. Quick when nothing is missing.
#
#   scripts/setup.sh demo    what `make demo` needs
#   scripts/setup.sh test    what `make test` needs (everything)
#
# Nothing is downloaded but Debian packages (apt) and npm packages pinned by package-lock.json;
# .npmrc turns packages' install scripts off, so none of them can fetch or build anything.
set -eu

scope=${1:-test}
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
cd "$root"

main() {
  case $scope in
    demo | test) ;;
    *) fail "usage: scripts/setup.sh demo|test" ;;
  esac
  install_system_packages
  install_npm_packages
  check_node
}

say() { printf '%s\n' "setup: $*" >&2; }

fail() {
  say "$@"
  exit 1
}

install_system_packages() {
  missing=$(missing_packages)
  [ -n "$missing" ] || return 0
  # One line, as apt-get wants it.
  missing=$(printf '%s ' $missing)
  command -v apt-get >/dev/null 2>&1 || explain_missing "this machine has no apt-get"
  if [ "$(id -u)" -eq 0 ]; then
    as_root=''
  elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root='sudo -n'
  else
    explain_missing "installing them needs root, or sudo without a password"
  fi
  say "installing $missing"
  apt_install "$missing" || {
    say "trying again with a fresh package list"
    $as_root apt-get update -q >&2
    apt_install "$missing"
  } || explain_missing "apt-get could not install them"
  stop_new_services "$missing"
  still_missing=$(missing_packages)
  [ -z "$still_missing" ] || explain_missing "apt-get ran, but these are still not found:" $still_missing
}

# The names in the list for this scope whose probe finds nothing.
missing_packages() {
  # The second test keeps a last line that has no line end.
  while read -r package needed_by probe reason || [ -n "$package" ]; do
    case $package in '' | '#'*) continue ;; esac
    [ -n "$reason" ] || fail "scripts/system-packages.txt: $package has no reason"
    [ "$needed_by" = demo ] || [ "$scope" = test ] || continue
    is_there "$probe" || printf '%s\n' "$package"
  done <scripts/system-packages.txt
}

is_there() {
  wanted=${1#*:}
  case $1 in
    command:*) command -v "$wanted" >/dev/null 2>&1 ;;
    # Unquoted on purpose: the pattern is expanded here.
    file:*) ls $wanted >/dev/null 2>&1 ;;
    package:*) dpkg-query -W -f '${Status}' "$wanted" 2>/dev/null | grep -q ' installed$' ;;
    *) fail "scripts/system-packages.txt: unknown probe $1" ;;
  esac
}

apt_install() {
  # Unquoted on purpose: a list of words.
  $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends $1 >&2
}

# Debian starts a package's service as it is installed; the tests want the programs of tgt and
# PostgreSQL, not an iSCSI target or a database listening on this machine.
stop_new_services() {
  [ -d /run/systemd/system ] || return 0
  for service in tgt postgresql; do
    case " $1 " in *" $service "*) ;; *) continue ;; esac
    $as_root systemctl disable --now "$service" >/dev/null 2>&1 ||
      say "could not stop the $service service; see: systemctl status $service"
  done
}

explain_missing() {
  say "system packages are missing, and $*"
  say "please install them, then run the command again:"
  say "    sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing"
  say "what each is for: scripts/system-packages.txt"
  exit 1
}

# npm runs in a folder of its own and its result is moved into place: an interrupted set-up
# leaves the old node_modules or the new one, never half of one.
install_npm_packages() {
  stamp=node_modules/.rehydrate-setup
  wanted_stamp=$(cat package-lock.json .npmrc | sha256sum | cut -d ' ' -f 1)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted_stamp" ]; then return 0; fi
  command -v npm >/dev/null 2>&1 || fail "npm is not on PATH"
  work=$root/.cache/setup-$$
  rm -rf "$work"
  mkdir -p "$work/bin"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  cp package.json package-lock.json .npmrc "$work/"
  find_node_for_npm
  say "installing npm packages"
  run_npm "$work/bin:$PATH"
  link_node "$work/node_modules"
  printf '%s\n' "$wanted_stamp" >"$work/$stamp"
  if [ -e node_modules ]; then mv node_modules "$work/replaced"; fi
  mv "$work/node_modules" node_modules
}

# Puts a Node 24 into $work/bin. npm judges packages by the Node that runs it and, on an older one,
# leaves out prebuilt binaries that ask for a newer one, without a word. So where there is no
# Node 24 yet, a first run on the machine's own Node fetches it (it asks for nothing itself).
find_node_for_npm() {
  for node in "$root/node_modules/.bin/node" "$(command -v node)"; do
    case $("$node" --version 2>/dev/null) in
      v24.*)
        ln -s "$(readlink -f "$node")" "$work/bin/node"
        return 0
        ;;
    esac
  done
  say "installing Node 24 (this machine's own is $(node --version))"
  run_npm "$PATH" --omit=dev
  link_node "$work/node_modules"
  cp "$work/node_modules/.bin/node" "$work/bin/node"
}

# run_npm PATH OPTION…: `npm ci` in $work. Debian's npm finds its own parts in /usr/share/nodejs
# through a default that only Debian's Node has.
run_npm() {
  npm_path=$1
  shift
  (
    cd "$work"
    PATH=$npm_path NODE_PATH=/usr/share/nodejs NODE_OPTIONS=--no-deprecation \
      npm ci --loglevel=error --no-progress "$@" >&2
  ) || fail "npm ci failed"
}

# npm 9 and 10 leave the link out, because both platforms' packages offer the same name.
link_node() {
  case $(uname -m) in
    x86_64) platform=linux-x64 ;;
    aarch64 | arm64) platform=linux-arm64 ;;
    *) fail "no Node 24 is packaged for $(uname -m)" ;;
  esac
  [ -x "$1/node-$platform/bin/node" ] || fail "npm did not install node-$platform"
  ln -sf "../node-$platform/bin/node" "$1/.bin/node"
}

check_node() {
  version=$(node_modules/.bin/node --version) || fail "node_modules/.bin/node does not run"
  case $version in
    v24.*) ;;
    *) fail "node_modules/.bin/node is $version, expected v24; remove node_modules and try again" ;;
  esac
}

main
