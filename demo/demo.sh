#!/bin/bash
# The life of an upgrade on one host: run by `make demo`, on an engine and a registry of its own.
#
# Every step shows what a person would type, and every claim is checked on the engine: a false one
# ends the demo with exit code 1. The soak is eight seconds instead of ten minutes; nothing else
# differs from a real host.
set -euo pipefail

binary=${TAGKEEPER:?run: make demo}
socket=${TAGKEEPER_TEST_SOCKET:?run: make demo}
registry=${TAGKEEPER_TEST_REGISTRY:?run: make demo}

local_repository=docker-sonic-telemetry
remote_repository=$registry/docker-sonic-telemetry
soak_secs=8
patience_secs=60

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/state" "$work/run"
# Where a pass notes how it ended, for `status`; on a host, systemd says so.
export RUNTIME_DIRECTORY=$work/run

bold='' green='' red='' dim='' plain=''
if [[ -t 1 ]]; then
    bold=$'\e[1m' green=$'\e[32m' red=$'\e[31m' dim=$'\e[2m' plain=$'\e[0m'
fi
checks=()

# --- How things are told -------------------------------------------------------------------------------------------

step=0
heading() {
    step=$((step + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$step" "$1" "$plain"
}

say() { printf '   %s\n' "$1"; }

indented() { sed 's/^/     /'; }

# Shows a command as a person would type it, and runs it.
run() {
    local shown='' word
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./:=@-]+$ ]] || word="'$word'"
        shown+=" $word"
    done
    printf '   %s$%s%s\n' "$dim" "$shown" "$plain"
    "$@" 2>&1 | indented
}

# claim WHAT COMMAND...: the command must succeed.
claim() {
    local what=$1
    shift
    if "$@"; then
        printf '   %sok%s  %s\n' "$green" "$plain" "$what"
        checks+=("$what")
    else
        printf '   %sNOT TRUE%s  %s\n' "$red" "$plain" "$what"
        docker images --all --digests --no-trunc | indented
        docker ps --all --no-trunc | indented
        exit 1
    fi
}

# --- What is asked of the engine -----------------------------------------------------------------------------------

id_of() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null; }
image_of() { docker inspect --type container --format '{{.Image}}' "$1"; }
names() { [[ -n "$2" && "$(id_of "$1")" == "$2" ]]; }
runs() { [[ "$(image_of "$1")" == "$2" && "$(docker inspect --format '{{.State.Running}}' "$1")" == true ]]; }
# What must not be there is looked for in a list that could be read.
absent() { local list && list=$(docker images --all --quiet --no-trunc) && [[ "$list" != *"$1"* ]]; }
no_name() { local list && list=$(docker images --quiet "$1") && [[ -z "$list" ]]; }
no_container() { local list && list=$(docker ps --all --format '{{.Names}}') && ! grep -qx "$1" <<<"$list"; }
rejected() { tagkeeper --format json status | tr -d ' \n' | grep -q "\"rejected\":\[[^]]*\"version\":\"$1\""; }
at_least() { (($1 >= $2)); }

# --- Who acts ------------------------------------------------------------------------------------------------------

tagkeeper() { "$binary" --policy "$work/policy.toml" --state-dir "$work/state" --socket "$socket" "$@"; }

# What the local service's unit runs.
local_service() {
    printf '   %s$ docker start telemetry || docker run --name telemetry %s:latest%s\n' \
        "$dim" "$local_repository" "$plain"
    docker start telemetry >/dev/null 2>&1 ||
        docker run --detach --network none --name telemetry "$local_repository:latest" >/dev/null
}

# build NAME TEXT: an image of a static busybox and a file that makes it different from every other.
build() {
    local root=$work/root
    rm -rf "$root"
    mkdir -p "$root/bin"
    cp "$(command -v busybox)" "$root/bin/busybox"
    ln -s busybox "$root/bin/sh"
    ln -s busybox "$root/bin/sleep"
    printf '%s\n' "$2" >"$root/version"
    tar -C "$root" -c . | docker import --change 'CMD ["sleep", "2147483647"]' - "$1" >/dev/null
}

# What the timer does every minute, done every second here: for SECONDS, or until COMMAND succeeds.
passes_for() {
    local began=$SECONDS
    while ((SECONDS - began < $1)); do
        pass "$((SECONDS - began))"
    done
}

passes_until() {
    local began=$SECONDS
    until "$@"; do
        if ((SECONDS - began > patience_secs)); then
            claim "within $patience_secs s: $*" false
        fi
        pass "$((SECONDS - began))"
    done
}

pass() {
    local said
    if ! said=$(tagkeeper reconcile 2>&1); then
        printf '%s\n' "$said" | indented
        claim 'every pass succeeds' false
    fi
    printf '%s\n' "${said:-$(progress)}" | sed "s/^/     +$(printf '%2d' "$1")s  /"
    sleep 1
}

# What a pass that changed nothing is waiting for.
progress() {
    local pending
    pending=$(tagkeeper --format json status | tr -d ' \n' | grep -o '"pending":{[^}]*}') || pending=
    if [[ $pending =~ \"version\":\"([^\"]*)\" ]]; then
        local version=${BASH_REMATCH[1]}
        [[ $pending =~ \"up_secs\":([0-9]+) ]]
        printf '(%s soaks: %s of %s s)' "$version" "${BASH_REMATCH[1]:-0}" "$soak_secs"
    else
        printf '(nothing to do)'
    fi
}

latest_is_proven() { tagkeeper --format json status | grep -Eq '"proven": *true'; }

# --- The story -----------------------------------------------------------------------------------------------------

say 'One host, two minutes: the orchestrator deploys v1 and v2, v2 becomes latest, the orchestrator goes'
say 'away, v3 crashes, and an operator rolls back. After each step the engine is asked whether it is so.'

cat >"$work/policy.toml" <<POLICY
[workload.telemetry]
repository = "$local_repository"
remotes = ["$remote_repository"]
container = "telemetry"
soak = "${soak_secs}s"
POLICY

for version in v1 v2 v3; do
    build "$remote_repository:$version" "built by the release pipeline: $version"
    docker push --quiet "$remote_repository:$version" >/dev/null
    docker rmi "$remote_repository:$version" >/dev/null
done

heading 'The device is shipped with v1, and its local service runs it'
build "$local_repository:v1" 'built into the device: v1'
run docker tag "$local_repository:v1" "$local_repository:latest"
local_v1=$(id_of "$local_repository:v1")
local_service
say 'The policy:'
indented <"$work/policy.toml"
say "A pass each second, where a host has one each minute, until v1 has been up for $soak_secs s:"
passes_until latest_is_proven
run tagkeeper status
claim 'the local service runs the shipped v1, and v1 is proven' runs telemetry "$local_v1"

heading 'The orchestrator rolls out v1, the version that already runs: a dry run'
run docker pull --quiet "$remote_repository:v1"
run docker run --detach --network none --name k8s_telemetry_v1 "$remote_repository:v1"
remote_v1=$(id_of "$remote_repository:v1")
say 'The same version, built twice: two images.'
run docker images "$remote_repository"
run docker images "$local_repository"
passes_for $((soak_secs + 3))
claim 'a dry run promotes nothing: latest is the shipped v1' names "$local_repository:latest" "$local_v1"
claim 'the image of the dry run is kept while its version is needed' names "$remote_repository:v1" "$remote_v1"

heading 'The orchestrator upgrades to v2: the local service stops'
run docker stop -t 0 telemetry
run docker rm --force k8s_telemetry_v1
run docker pull --quiet "$remote_repository:v2"
run docker run --detach --network none --name k8s_telemetry_v2 "$remote_repository:v2"
v2=$(id_of "$remote_repository:v2")
began=$SECONDS
passes_for $((soak_secs / 2))
run tagkeeper status
claim 'while v2 soaks, latest is still v1' names "$local_repository:latest" "$local_v1"
passes_until names "$local_repository:latest" "$v2"
claim "v2 was up for $soak_secs s before latest moved" at_least $((SECONDS - began)) "$soak_secs"
run tagkeeper status
run docker images --all
claim 'latest is v2' names "$local_repository:latest" "$v2"
claim 'the stopped local container is gone: the service would have started the old version again' no_container telemetry
claim 'the v1 that ran here is the fallback, under its remote name' names "$remote_repository:v1" "$local_v1"
claim 'the v1 that was only pulled is no longer on the disk' absent "$remote_v1"
claim "the name $local_repository:v1 is gone" no_name "$local_repository:v1"
say 'What happened to the image that was pulled only for the dry run?'
run tagkeeper explain "${remote_v1:7:12}"

heading 'The orchestrator goes away: the local service takes over'
run docker rm --force k8s_telemetry_v2
local_service
passes_for 3
claim 'the local service runs v2, the last version that worked, instead of the shipped one' runs telemetry "$v2"

heading 'The orchestrator is back, with a v3 that dies after three seconds, again and again'
run docker stop -t 0 telemetry
run docker pull --quiet "$remote_repository:v3"
v3=$(id_of "$remote_repository:v3")
run docker run --detach --network none --restart always --name k8s_telemetry_v3 "$remote_repository:v3" \
    sh -c 'sleep 3; exit 1'
passes_for $((2 * soak_secs + 4))
run tagkeeper status
claim 'v3 was started again and again' at_least "$(docker inspect --format '{{.RestartCount}}' k8s_telemetry_v3)" 2
claim 'v3 was deployed for two soaks, and is not latest' names "$local_repository:latest" "$v2"
claim 'v1, the fallback, is still there' names "$remote_repository:v1" "$local_v1"
claim 'the local container of v2 is still there' [ "$(image_of telemetry)" = "$v2" ]

heading 'The orchestrator withdraws v3, and the local service runs v2'
run docker rm --force k8s_telemetry_v3
local_service
passes_for 2
run tagkeeper plan
claim 'the host runs v2' runs telemetry "$v2"
claim 'the failed v3 is no longer used, and is kept until its grace period ends' \
    names "$remote_repository:v3" "$v3"

heading 'An operator rolls back from v2 to v1'
run docker stop -t 0 telemetry
run tagkeeper rollback telemetry --yes
local_service
passes_for 2
run tagkeeper status
claim 'latest is v1 again' names "$local_repository:latest" "$local_v1"
claim 'the local service runs v1, in a container that was created from it' runs telemetry "$local_v1"
claim 'v2 is rejected, and is not promoted again' rejected v2

printf '\n%sAll %d checks passed:%s\n' "$bold" "${#checks[@]}" "$plain"
printf '   - %s\n' "${checks[@]}"
printf '\nNext: `make deb`, install the package, `tagkeeper init` (README.md, "Install").\n'
