// Package network lays out the graphs of the models that are built here.
//
// An [Architecture] is a Go type that knows its sizes and how to lay out its graph;
// it is added in architectures and nowhere else. The weights of a [Network] come
// from a seed, the same bytes on every machine, or from a checkpoint.
package network

import (
	"maps"
	"slices"
)

// An Architecture is a struct whose fields are the keys of a configuration's sizes.
type Architecture interface {
	// Check tells what is wrong with the sizes, if anything.
	Check() *Fault
	// Limits bounds symbolic dimensions, by name.
	Limits() map[string]int64
	// Build lays out the graph. It makes no weights.
	Build(w Weights) *Network
}

// A Fault is what an architecture finds wrong with one of its sizes.
type Fault struct{ Key, Msg, Hint string }

var architectures = map[string]func() Architecture{
	"bert":        func() Architecture { return new(BERT) },
	"gpt2":        func() Architecture { return new(GPT2) },
	"mobilenetv2": func() Architecture { return new(MobileNet) },
	"resnet":      func() Architecture { return new(ResNet) },
	"unet":        func() Architecture { return new(UNet) },
	"vit":         func() Architecture { return new(ViT) },
}

// Names returns those of the architectures, sorted.
func Names() []string { return slices.Sorted(maps.Keys(architectures)) }

// New returns an architecture whose sizes are all 0, or nil if it is unknown.
func New(name string) Architecture {
	if make, ok := architectures[name]; ok {
		return make()
	}
	return nil
}
