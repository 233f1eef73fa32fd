#!/bin/sh
# What an operator writes first: the checks of an idle pass of tagkeeper, by the engine's own client.
#
#     same_checks.sh REPOSITORY CONTAINER SOAK_SECS
#
# Says what should be done, and does nothing.
set -eu
repository=$1 container=$2 soak_secs=$3

images=$(docker images --all --no-trunc --format '{{.Repository}}:{{.Tag}} {{.ID}}')
containers=$(docker ps --all --no-trunc --format '{{.ID}} {{.Names}} {{.State}}')

latest=$(printf '%s\n' "$images" | awk -v name="$repository:latest" '$1 == name { print $2 }')
serving=$(printf '%s\n' "$containers" | awk -v name="$container" '$2 == name && $3 == "running" { print $1 }')
[ -n "$serving" ] || { echo "nothing serves"; exit 0; }

# shellcheck disable=SC2046 # two words
set -- $(docker inspect --format '{{.Image}} {{.State.StartedAt}}' "$serving")
up_secs=$(($(date +%s) - $(date -d "$2" +%s)))
if [ "$1" != "$latest" ] && [ "$up_secs" -ge "$soak_secs" ]; then
    echo "promote $1"
fi

# Old versions that no container uses.
# shellcheck disable=SC2046 # a word for each container
used=$(docker inspect --format '{{.Image}}' $(printf '%s\n' "$containers" | awk '{ print $1 }') | sort -u)
printf '%s\n' "$images" | awk -v prefix="$repository:" -v latest="$latest" -v used="$used" '
    BEGIN { split(used, ids, "\n"); for (n in ids) in_use[ids[n]] = 1 }
    index($1, prefix) == 1 && $2 != latest && !($2 in in_use) { unused++ }
    END { if (unused) print unused " unused" }'
