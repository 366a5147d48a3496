// Package stages is the list of what the program can do in a cell, of the
// commands that belong to that, and of what they need of a machine.
package stages

import (
	"maps"

	"barograph/pipeline/cell"
	traces "barograph/stages/arrival/trace/command"
	shared "barograph/stages/colocation/claims"
	"barograph/stages/device/gpu"
	"barograph/stages/device/host"
	"barograph/stages/device/nvml"
	"barograph/stages/device/sim"
	judging "barograph/stages/judge/command"
	"barograph/stages/kind/analyse"
	"barograph/stages/kind/collect"
	"barograph/stages/kind/command"
	"barograph/stages/kind/graph"
	"barograph/stages/kind/infer"
	"barograph/stages/kind/neighbours"
	"barograph/stages/kind/plot"
	"barograph/stages/kind/search"
	"barograph/stages/kind/stress"
	"barograph/stages/link"
	models "barograph/stages/model/command"
	"barograph/stages/notebook/display"
	"barograph/stages/notebook/job"
	placing "barograph/stages/placement/command"
	"barograph/stages/prediction"
	"barograph/stages/prediction/turns"
	"barograph/stages/recording"
	"barograph/stages/scaffold"

	"github.com/spf13/cobra"
)

// Kinds returns every stage kind.
func Kinds() cell.Kinds {
	kinds := cell.NewKinds(stress.Kind(), infer.Kind(), collect.Kind(), analyse.Kind(), plot.Kind(), link.Kind(), graph.Kind(), search.Kind(), neighbours.Kind(), command.Kind())
	for _, c := range recording.Fields {
		if k := kinds[c.Stage]; k != nil {
			k.Columns = append(k.Columns, c.Name)
		}
	}
	for _, m := range recording.TrialColumns { // every call has these, with a load or without
		kinds["infer"].Columns = append(kinds["infer"].Columns, m.Name)
	}
	return kinds
}

// Commands returns the commands that are about stages and not about studies.
func Commands() []*cobra.Command {
	return []*cobra.Command{models.Command(), job.Command(display.Commands()...), judging.Command(), judging.Claims(claims()), prediction.Command(), placing.Command(), scaffold.Command(), link.Command(), traces.Command()}
}

// claims are judged, of turns and of models that share a device, beside the paper's.
func claims() map[string]judging.Judging {
	all := turns.Judgings()
	maps.Copy(all, shared.Judgings())
	return all
}

// GPUs returns the GPUs of this computer and what serves them.
func GPUs() cell.GPUs {
	g := gpu.Here()
	g.Machine = nvml.Machine
	g.Of = func(m cell.Machine) []cell.GPU {
		switch cell.Family(m.Device) {
		case "sim":
			return sim.GPUs(m)
		case "cuda":
			return gpu.Visible(g.List)
		}
		return nil
	}
	g.Processors = host.Shares
	g.Lost = nvml.Lost
	return g
}

// Drawing draws a study's graph.
func Drawing() cell.Drawing { return graph.Drawing() }
