# Read by findings about yaegi: each gives what Say of its script says interpreted, and the script.
. "$(dirname "$0")/shared/go.sh"
yaegi() {
	mkdir script
	cat >script/script.go
	cat >main.go <<'EOF'
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"

	"github.com/traefik/yaegi/interp"
	"github.com/traefik/yaegi/stdlib"

	"finding/script"
)

//go:embed script/script.go
var source string

// The same file is compiled into this program, and interpreted by it.
func main() {
	compiled := script.Say()
	var out bytes.Buffer
	i := interp.New(interp.Options{Stdout: &out})
	if err := i.Use(stdlib.Symbols); err != nil {
		panic(err)
	}
	if _, err := i.Eval(source); err != nil {
		panic(err)
	}
	v, err := i.Eval("script.Say()")
	if err != nil {
		panic(err)
	}
	interpreted := v.String()
	fmt.Println("compiled:   ", compiled)
	fmt.Println("interpreted:", interpreted)
	if compiled == interpreted || interpreted != os.Args[1] {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
EOF
	run github.com/traefik/yaegi@v0.16.1 "$1"
}
