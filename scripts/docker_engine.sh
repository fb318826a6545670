#!/usr/bin/env bash
# A Docker engine of its own, beside any other: for machines without one, and for tests.
#   scripts/docker_engine.sh install   packages of Debian or Ubuntu; as root
#   scripts/docker_engine.sh start     starts it, prints the variables that point to it
#   scripts/docker_engine.sh stop      ends it and what runs in it
# It changes nothing of the machine's network. Everything is below $AGENTGYM_DOCKER_ROOT, by default
# /var/lib/agentgym-docker:
#   eval "$(scripts/docker_engine.sh start)"
set -euo pipefail
root=${AGENTGYM_DOCKER_ROOT:-/var/lib/agentgym-docker}
socket=$root/docker.sock
pidfile=$root/docker.pid

# gVisor, where it is installed: a kernel of its own for containers that ask for the runtime runsc.
runtimes=()
if command -v runsc >/dev/null; then
	runtimes=(--add-runtime "runsc=$root/runsc")
fi

answers() { curl --silent --max-time 2 --unix-socket "$socket" http://docker/_ping | grep -q OK; }

running() { # a killed process that nobody has waited for is there, and does not run
	[ -f "$pidfile" ] && grep -qs '(dockerd) [^Z]' "/proc/$(cat "$pidfile")/stat"
}

case "${1:-}" in
install)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		bubblewrap busybox-static curl docker.io git python3 >/dev/null
	;;
start)
	mkdir -p "$root"
	for _ in 1 2 3; do # after a kill, what was killed may not be gone yet
		if answers; then break; fi
		if ! running; then
			rm -f "$pidfile"
			printf '#!/bin/sh\nexec runsc --platform=ptrace --network=none "$@"\n' >"$root/runsc"
			chmod +x "$root/runsc"
			setsid dockerd --host "unix://$socket" --pidfile "$pidfile" \
				--data-root "$root/data" --exec-root "$root/exec" \
				--storage-driver overlay2 --live-restore --cgroup-parent / --bridge none --iptables=false \
				--ip6tables=false --ip-forward=false --ip-masq=false "${runtimes[@]}" \
				</dev/null >"$root/log" 2>&1 &
			started=$!
		fi
		for _ in $(seq 100); do
			if answers || ! kill -0 "${started:-$$}" 2>/dev/null; then break; fi
			sleep 0.1
		done
	done
	if ! answers; then
		tail -n 5 "$root/log" >&2
		echo "the engine did not start; its log is $root/log" >&2
		exit 1
	fi
	echo "export DOCKER_HOST=unix://$socket"
	;;
stop)
	if running; then
		docker --host "unix://$socket" ps -q | xargs -r docker --host "unix://$socket" rm -f >/dev/null
		kill "$(cat "$pidfile")"
		while running; do sleep 0.1; done
	fi
	for process in /proc/[0-9]*; do # of containers that an engine had when it was killed
		if tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -q "containerd-shim.* -address $root/"; then
			children=$(cat "$process"/task/*/children 2>/dev/null || true)
			# shellcheck disable=SC2086
			kill -9 $children "${process#/proc/}" 2>/dev/null || true
		fi
	done
	umount "$root/data" 2>/dev/null || true # the engine mounts it onto itself
	;;
*)
	sed -n '2,8s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac
