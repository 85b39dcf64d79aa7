#!/usr/bin/env bash
# A PostgreSQL server for tests and benchmarks: a Unix socket in a folder of its own, a password, nobody's own data.
#   scripts/postgres.sh install                take Debian's package, where there is no server (as root)
#   scripts/postgres.sh run DIR [OPTION...]    make a cluster in DIR if there is none, and serve it until a signal or the caller's end
#   scripts/postgres.sh url DIR                what to give to `serve --store`
# PostgreSQL refuses to run as root: there it runs as the user postgres. OPTION: as of `postgres`, for example -c fsync=off.
set -euo pipefail

user=whisper

bin() {
  local found
  found=$(command -v initdb || ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -1)
  [ -n "$found" ] || { echo "there is no PostgreSQL server on this machine: scripts/postgres.sh install" >&2; exit 69; }
  dirname "$(readlink -f "$found")"
}

case ${1:-} in
  install)
    (bin) >/dev/null 2>&1 && exit 0
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql >/dev/null
    bin >/dev/null
    ;;
  url)
    printf 'postgresql://%s:%s@/postgres?host=%s\n' "$user" "$(cat "$2/password")" "$2"
    ;;
  run)
    place=$(readlink -f "$2")
    shift 2
    programs=$(bin)
    as=(setpriv --pdeathsig QUIT)
    if [ "$(id -u)" = 0 ]; then
      chown postgres: "$place"
      as=(setpriv --reuid postgres --regid postgres --init-groups --pdeathsig QUIT)
    fi
    cd "$place"
    if [ ! -e "$place/data/PG_VERSION" ]; then
      [ -e "$place/password" ] || (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$place/password")
      [ "$(id -u)" != 0 ] || chown postgres: "$place/password"
      "${as[@]}" "$programs/initdb" -D "$place/data" -U "$user" -A scram-sha-256 --pwfile "$place/password" \
        --no-locale -E UTF8 --no-sync >/dev/null
    fi
    exec "${as[@]}" "$programs/postgres" -D "$place/data" -c listen_addresses= -c unix_socket_directories="$place" "$@"
    ;;
  *)
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
