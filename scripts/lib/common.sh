# SPDX-License-Identifier: MIT
# scripts/lib/common.sh: what `test` and `demo` share: the Debian packages (named here and nowhere else), their
# installation, and a meson set-up that can be repeated. Sourced by bash. Only adds packages; never upgrades, removes or
# reconfigures anything.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

PACKAGES_RUN_DEV=(libuv1-dev libprotobuf-c-dev libyaml-dev libsqlite3-dev libjpeg62-turbo-dev libspng-dev zlib1g-dev
	libmd-dev libutf8proc-dev)
PACKAGES_BUILD=(gcc libc6-dev meson ninja-build pkgconf protobuf-c-compiler protobuf-compiler "${PACKAGES_RUN_DEV[@]}"
	python3)
PACKAGES_PYTHON=(python3-numpy python3-pil python3-protobuf)
# systemd: for systemd-socket-activate and sysusers alone; no running systemd is needed.
PACKAGES_TEST=("${PACKAGES_BUILD[@]}" libcmocka-dev "${PACKAGES_PYTHON[@]}" systemd)
PACKAGES_DEMO=("${PACKAGES_BUILD[@]}" "${PACKAGES_PYTHON[@]}" dataset-fashion-mnist fonts-dejavu-core)
# gcc's sanitizers come with it, clang's and libFuzzer do not.
PACKAGES_ALL=("${PACKAGES_TEST[@]}")
PACKAGES_FUZZ=("${PACKAGES_BUILD[@]}" clang libclang-rt-dev llvm) # llvm: names in the stacks that are printed
PACKAGES_CROSS=(gcc-aarch64-linux-gnu qemu-user)
PACKAGES_SYSROOT=(libc6-dev linux-libc-dev libcmocka-dev "${PACKAGES_RUN_DEV[@]}") # unpacked, never installed

say() { printf '\n== %s\n' "$*"; }
die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# meson's for a build under clang's sanitizers, with the fuzzers.
FUZZ_OPTIONS=(-Dfuzzers=true -Db_sanitize=address,undefined -Db_lundef=false -Doptimization=1 -Ddebug=true)

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "packages are missing and this is neither root nor is there sudo; as root run: $*"
	fi
}

# need_packages NAME...: prints what is needed and installs what is missing, nothing else.
need_packages() {
	local missing=() name
	echo "Debian packages: $*"
	for name in "$@"; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || missing+=("$name")
	done
	[ ${#missing[@]} -eq 0 ] && {
		echo "all of them are installed"
		return
	}
	echo "to install: ${missing[*]}"
	local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-upgrade)
	# The lists may be missing or too old: only then they are fetched.
	apt-get install -s -q --no-install-recommends --no-upgrade "${missing[@]}" >/dev/null 2>&1 &&
		as_root "${install[@]}" "${missing[@]}" >"$(log_file apt)" 2>&1 && return
	echo "fetching the package lists"
	as_root apt-get update -q || echo "apt-get update failed for a source; going on with what there is"
	as_root "${install[@]}" "${missing[@]}" >"$(log_file apt)" 2>&1 || {
		tail -n 30 "$(log_file apt)" >&2
		die "the packages above could not be installed; the whole output is in $(log_file apt)"
	}
}

log_file() {
	mkdir -p "$ROOT/build-logs"
	echo "$ROOT/build-logs/$1.log"
}

# set_up DIR ARGUMENT...: meson setup that can be repeated; starts afresh when the old build cannot be used.
set_up() {
	local dir=$1 log
	shift
	log=$(log_file "setup-$(basename "$dir")")
	if [ -f "$dir/build.ninja" ] && meson setup --reconfigure "$dir" "$ROOT" "$@" >"$log" 2>&1; then
		return
	fi
	rm -rf "$dir"
	meson setup "$dir" "$ROOT" "$@" >"$log" 2>&1 || {
		cat "$log" >&2
		die "meson setup failed"
	}
}

shared_data() {
	local dir=${BNND_SHARED_DATA:-$ROOT/../shared}
	[ -d "$dir" ] && (cd "$dir" && pwd)
	return 0
}
