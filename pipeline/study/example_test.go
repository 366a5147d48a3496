package study_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"barograph/pipeline/cell"
	"barograph/pipeline/cell/unit"
	"barograph/pipeline/source"
	"barograph/pipeline/study"
)

// copyKind is a kind of stage with two parameters.
var copyKind = &cell.Kind{
	Name: "copy",
	With: func() any {
		return &struct {
			Threads int       `json:"threads" min:"1"`
			Block   unit.Size `json:"block"`
		}{Threads: 1}
	},
}

func Example() {
	dir, err := os.MkdirTemp("", "study")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "pressure.yaml")
	opt := study.Options{Kinds: cell.NewKinds(copyKind), Machine: "host", Set: []string{"levels=[2, 4]"}}

	write := func(text string) (*study.Study, error) {
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			return nil, err
		}
		return study.Load(file, opt)
	}
	s, err := write(`
study: pressure
params: {levels: [1, 2, 4, 8]}
stages:
  load:
    uses: copy
    matrix: {level: "${{ levels }}"}
    with: {threads: "${{ level }}", block: "${{ level * 4 * MiB }}"}
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	st := s.Stages[0]
	for _, level := range st.Matrix[0].Values {
		b, err := s.Bind(st, cell.Point{{Axis: "level", Value: level}})
		fmt.Printf("%+v %v\n", b.With, err)
	}

	_, err = write(`
study: pressure
params: {levels: [1, 2, 4, 8]}
stages:
  load: {uses: copy, with: {treads: 4}}
`)
	var e *source.Error
	if errors.As(err, &e) {
		e.Pos.File = "pressure.yaml"
		fmt.Println(e)
	}
	// Output:
	// &{Threads:2 Block:8 MiB} <nil>
	// &{Threads:4 Block:16 MiB} <nil>
	// pressure.yaml:5:29: unknown key "treads"
	//      5 |   load: {uses: copy, with: {treads: 4}}
	//        |                             ^
	//   hint: did you mean "threads"?
}
