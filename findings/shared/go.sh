# Read by findings that are Go programs, which then write main.go into the module that this begins, and run it.
set -eu
command -v go >/dev/null || { echo "needs go"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/finding" && cd "$dir/finding"
export GOMODCACHE="$dir/mod" GOFLAGS="-modcacherw -mod=mod" GOWORK=off

# run PACKAGE@VERSION ARGUMENT... runs the program with a package of that version.
run() {
	go mod init finding 2>/dev/null
	go mod edit -require="$1"
	go mod tidy >tidy.log 2>&1 || { cat tidy.log; echo "needs the packages"; exit 77; }
	shift
	go run . "$@"
}
