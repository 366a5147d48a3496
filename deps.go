//go:build deps

package main

import (
	_ "github.com/NVIDIA/go-nvml/pkg/nvml"
	_ "github.com/aclements/go-moremath/stats"
	_ "github.com/alecthomas/chroma/v2"
	_ "github.com/expr-lang/expr"
	_ "github.com/go-gota/gota/dataframe"
	_ "github.com/landlock-lsm/go-landlock/landlock"
	_ "github.com/rogpeppe/go-internal/testscript"
	_ "github.com/santhosh-tekuri/jsonschema/v6"
	_ "github.com/spf13/cobra"
	_ "github.com/traefik/yaegi/extract"
	_ "github.com/traefik/yaegi/interp"
	_ "github.com/traefik/yaegi/stdlib"
	_ "github.com/yalue/onnxruntime_go"
	_ "github.com/yuin/goldmark"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sys/unix"
	_ "golang.org/x/term"
	_ "gonum.org/v1/gonum/stat"
	_ "gonum.org/v1/gonum/optimize"
	_ "gonum.org/v1/plot"
	_ "gonum.org/v1/plot/vg/vgpdf"
	_ "gonum.org/v1/plot/vg/vgsvg"
	_ "gonum.org/v1/plot/vg/vgimg"
	_ "google.golang.org/protobuf/encoding/protowire"
	_ "gopkg.in/yaml.v3"
	_ "gorgonia.org/cu"
	_ "pgregory.net/rapid"
)
