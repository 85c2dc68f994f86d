#!/bin/sh
# The one place for developer commands. Needs a Debian 12 or 13 and root or sudo, nothing else; state is in .do/.
#
#   demo [--release 12|13]   build the package, bring up the lab, send the letters, say what happened (default 13)
#   demo-down [--all]        remove the lab's containers and networks (--all: its images as well)
#   test                     everything: lint, types, unit tests on Python 3.11 and 3.13, the letters on both Debians
#   check [PYTEST ARGS]      the quick part: ruff, mypy, unit tests on this machine's python3
#   unit --release 12|13     unit tests on the Python of that Debian, in its container (12: 3.11, 13: 3.13)
#   lab [--release 12|13] [PYTEST ARGS]   the letters as tests; the lab stays up
#   bench MAILLOAD=PATH [verify|sign|postfix] [--quick] [--release 12|13] [--sizes 2k,20k] [--connections 64,8]
#                            our speed beside Debian's others; the table is left in .do/bench/. PATH: the load
#                            generator, built. postfix: in a real Postfix. verify --engine [--profile]: no milter
#   fuzz [--release 12|13] [--inputs N] [--seed S] [--target NAME] [--only N] [--memory]   a million letters, or
#                            any number for one parser, to break what reads them; --memory: what a daemon needs
#   deb [--release 12|13]    build the Debian package into .do/deb/<release>/
#   fmt                      format the source
#   man                      write the manual pages and the list of standards again
#   clean                    remove .do/ and every cache; the lab and its images too
set -eu

cd "$(dirname "$0")"
root=$(pwd)
state=$root/.do
mkdir -p "$state"
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo

say() { printf '%s\n' "do: $*" >&2; }
fail() { say "$*"; exit 1; }

# need WHY PACKAGE...: install Debian packages that are missing, and say so.
need() {
    why=$1
    shift
    missing=
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || fail "this is no Debian; $why needs:$missing"
    say "apt-get install$missing ($why)"
    # shellcheck disable=SC2086 # a list of words
    set -- $missing
    install="env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends"
    $as_root $install "$@" >"$state/apt.log" 2>&1 || {
        $as_root apt-get update -q >>"$state/apt.log" 2>&1
        $as_root $install "$@" >>"$state/apt.log" 2>&1
    } || { tail -n 20 "$state/apt.log" >&2; fail "apt-get failed; all of it: $state/apt.log"; }
}

need_python() {
    if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        need "the lab and the tests are written in Python" python3
    fi
}

need_engine() {
    need_python
    if [ "${PV_ENGINE:-}" = docker ] || { ! command -v podman >/dev/null && docker info >/dev/null 2>&1; }; then
        need "a bare Debian, where no image can be pulled" mmdebstrap debian-archive-keyring
        return
    fi
    case $(. /etc/os-release && echo "${VERSION_ID:-}") in
        12) network="containernetworking-plugins iptables" ;;
        *) network="netavark iptables nftables" ;;
    esac
    # shellcheck disable=SC2086 # a list of words
    need "containers for the lab, the package and the tests" podman runc $network iproute2 mmdebstrap \
        debian-archive-keyring
}

# sum FILE...: a short name for the contents of files.
sum() { cat "$@" 2>/dev/null | sha256sum | cut -c1-16; }

# venv NAME KEY PIP-ARGUMENTS...: .do/venv-NAME, made again when its key has changed.
venv() {
    where=$state/venv-$1
    key=$2
    shift 2
    [ "$(cat "$where/made-from" 2>/dev/null)" = "$key" ] && return 0
    python3 -c 'import ensurepip, venv' 2>/dev/null || need "virtual environments" python3-venv
    say "pip install $* (into $where)"
    rm -rf "$where"
    python3 -m venv "$where"
    "$where/bin/python" -m pip install -q "$@" || fail "pip failed"
    printf '%s' "$key" >"$where/made-from"
}

lab() { PYTHONPATH=$root/tests PYTHONDONTWRITEBYTECODE=1 python3 -m lab "$@"; }

venv_check() {
    need_python
    need "pymilter has to be compiled" gcc libc6-dev libmilter-dev python3-dev
    venv check "$(sum setup.cfg pyproject.toml) $(python3 -V)" -e '.[milter,ldap,redis,test]' \
        'ruff>=0.4' 'mypy>=1.8' types-PyYAML
}

servers_here() {
    for program in slapd redis-server unbound postconf; do
        command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || return 1
    done
}

do_check() {
    venv_check
    bin=$state/venv-check/bin
    say "ruff"
    "$bin/ruff" check -q .
    "$bin/ruff" format -q --check .
    say "mypy --strict"
    "$bin/mypy"
    # A developer's machine gets no mail server, slapd, redis or unbound from us; ./do test runs those in containers.
    if ! servers_here; then
        say "tests that need slapd, redis-server, unbound or postconf are skipped here; ./do unit runs them"
        export POSTVOUCH_NO_SERVERS=1
    fi
    say "pytest"
    "$bin/python" -m pytest -q --timeout=60 "$@"
}

# pytest_lab RELEASE [ARGUMENTS]: the letters as tests.
pytest_lab() {
    release=$1
    shift
    venv lab 1 'pytest>=7.2' 'pytest-timeout>=2.1' 'pytest-randomly>=3.12'
    PV_RELEASE=$release "$state/venv-lab/bin/python" -m pytest -p no:cacheprovider --confcutdir=tests/lab -ra --timeout=900 tests/lab "$@"
}

# stage NAME COMMAND...: one part of ./do test, its output kept in .do/log/, its last line for the end.
stage() {
    name=$1
    shift
    began=$(date +%s)
    say "---- $name"
    mkdir -p "$state/log"
    log=$state/log/test-$name.log
    # dash has no pipefail: the exit code travels in a file.
    { code=0; "$@" || code=$?; echo "$code" >"$state/code"; } 2>&1 | tee "$log"
    code=$(cat "$state/code")
    line=$(grep -E '^=+ .*(passed|failed|error|no tests).* =+$|^[0-9]+ (passed|failed)' "$log" | tail -n 1)
    [ -n "$line" ] || line=$([ "$code" = 0 ] && echo "ok" || echo "FAILED, exit $code: $log")
    printf '%-12s %5s s  %s\n' "$name" "$(($(date +%s) - began))" "$line" >>"$state/summary"
    [ "$code" = 0 ] || bad="$bad $name"
}

do_test() {
    bad=
    : >"$state/summary"
    need_engine
    venv tox 1 'tox>=4'
    stage lint "$state/venv-tox/bin/tox" run -q -e lint
    stage type "$state/venv-tox/bin/tox" run -q -e type
    # Both Pythons run in the container of the Debian that has them: there they meet slapd, redis, postconf and
    # libmilter, which no developer's machine has to carry.
    stage py311 lab unit --release 12
    stage py313 lab unit --release 13
    stage deb-12 lab deb --release 12
    stage deb-13 lab deb --release 13
    for release in 13 12; do
        stage "lab-$release" pytest_lab "$release"
        # Nine hosts less while the next ones boot.
        lab down --release "$release"
    done
    echo
    cat "$state/summary"
    [ -z "$bad" ] || fail "failed:$bad"
}

release_of() { # [--release N] anything -> N, default 13
    if [ "${1:-}" = --release ]; then echo "${2:?--release 12 or 13}"; else echo 13; fi
}

command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
    demo) need_engine; lab demo "$@" ;;
    demo-down) need_engine; lab down "$@" ;;
    test) do_test "$@" ;;
    check) do_check "$@" ;;
    unit) need_engine; lab unit "$@" ;;
    lab)
        need_engine
        release=$(release_of "$@")
        if [ "${1:-}" = --release ]; then shift 2; fi
        pytest_lab "$release" "$@"
        ;;
    bench)
        need_engine
        PYTHONPATH=$root/tests:$root PYTHONDONTWRITEBYTECODE=1 python3 -m bench "$@"
        ;;
    fuzz)
        if [ "${1:-}" = --release ]; then
            need_engine
            lab fuzz "$@"
        else
            venv_check
            PYTHONPATH=$root/tests:$root "$state/venv-check/bin/python" -m fuzz "$@"
        fi
        ;;
    deb) need_engine; lab deb "$@" ;;
    fmt)
        venv_check
        "$state/venv-check/bin/ruff" check -q --fix . || true
        "$state/venv-check/bin/ruff" format .
        ;;
    man)
        venv_check
        "$state/venv-check/bin/python" -m postvouch.cli.manpages docs/man
        "$state/venv-check/bin/python" docs/rfcindex.py
        ;;
    clean)
        if command -v podman >/dev/null || command -v docker >/dev/null; then lab down --all || true; fi
        $as_root rm -rf .do .tox build ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
        find . -name __pycache__ -type d -prune -exec rm -rf {} +
        ;;
    help | -h | --help) sed -n '2,18s/^# \{0,1\}//p' "$0" ;;
    *) sed -n '2,18s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
