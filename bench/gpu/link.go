package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"barograph/pipeline/cell"
	"barograph/stages/result"
	"barograph/stages/stress"
)

const (
	leastShare  = 0.97 // of copy.cu's bandwidth, for blocks of leastBlock and more
	leastBlock  = 8 << 20
	rateWithin  = 0.02 // of the capacity
	rateThreads = 4
	rateBlock   = 4 << 20
)

// link compares the stressor with copy.cu and its rates with what was asked. Each
// load is measured several times, since the memory of a virtual machine's host is
// others' too: the best counts against copy.cu, which prints its own best, and the
// median against a rate.
func link(ctx context.Context, args []string) error {
	f := flags("link")
	device := f.String("device", "cuda", "device, such as cuda:1, or host")
	copies := f.String("copy", "", "what copy.cu printed in the same run, a `file`")
	each := f.Duration("each", 300*time.Millisecond, "how long each load is measured")
	rounds := f.Int("rounds", 3, "how many times each load is measured")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *each <= 0 {
		return fmt.Errorf("-rounds %d, -each %v: want at least one round, and a time", *rounds, *each)
	}
	plain, err := readCopies(*copies)
	if err != nil {
		return err
	}
	out := csv.NewWriter(os.Stdout)
	defer out.Flush()
	_ = out.Write([]string{"check", "direction", "block_bytes", "asked", "bytes_per_s", "of", "share", "holds", "rounds"})
	failed := 0
	row := func(check, direction string, block int64, asked string, rounds []float64, got, of float64, holds bool) {
		if !holds {
			failed++
		}
		// A writer keeps its error until Flush.
		_ = out.Write([]string{check, direction, strconv.FormatInt(block, 10), asked, fmt.Sprintf("%.0f", got), fmt.Sprintf("%.0f", of),
			fmt.Sprintf("%.4f", got/of), strconv.FormatBool(holds), strings.Trim(fmt.Sprintf("%.0f", rounds), "[]")})
		out.Flush()
	}

	directions := []string{"h2d", "d2h"}
	calibration, err := press(ctx, *device, nil, map[string]any{"mode": "capacity", "directions": directions})
	if err != nil {
		return err
	}
	capacity := calibration.result.Capacity
	// repeat returns what each round of a load achieved, least first.
	repeat := func(with map[string]any) ([]float64, error) {
		var got []float64
		with["duration"], with["settle"] = each.String(), "2s"
		for range *rounds {
			p, err := press(ctx, *device, calibration, with)
			if err != nil {
				return nil, err
			}
			got = append(got, p.result.Achieved)
		}
		slices.Sort(got)
		return got, nil
	}
	for _, direction := range directions {
		for block := int64(leastBlock); block <= 64<<20; block *= 2 {
			// As copy.cu: two streams, several copies queued on each.
			got, err := repeat(map[string]any{"threads": 2, "outstanding": 8, "block": block, "direction": direction})
			if err != nil {
				return err
			}
			best := got[len(got)-1]
			of := cmp.Or(plain[direction][block], capacity[direction])
			name := "copy.cu"
			if plain == nil {
				name = "capacity"
			}
			row("bandwidth against "+name, direction, block, "max", got, best, of, plain == nil || best >= leastShare*of)
		}
		for percent := 10; percent <= 90; percent += 10 {
			rate := fmt.Sprintf("%d%%", percent)
			got, err := repeat(map[string]any{"threads": rateThreads, "outstanding": 2, "block": rateBlock, "direction": direction, "rate": rate})
			if err != nil {
				return err
			}
			median := got[len(got)/2]
			share := median / capacity[direction]
			row("rate against capacity", direction, rateBlock, rate, got, median, capacity[direction], math.Abs(share-float64(percent)/100) <= rateWithin)
		}
	}
	if err := out.Error(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of these do not hold: want at least %g%% of copy.cu, and rates within %g points", failed, 100*leastShare, 100*rateWithin)
	}
	return nil
}

// readCopies reads what copy.cu printed: bytes per second by direction and block.
func readCopies(path string) (map[string]map[int64]float64, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	found := map[string]map[int64]float64{"h2d": {}, "d2h": {}}
	for _, r := range rows[1:] {
		block, wrong := strconv.ParseInt(r[1], 10, 64)
		rate, bad := strconv.ParseFloat(r[2], 64)
		if found[r[0]] == nil || wrong != nil || bad != nil {
			return nil, fmt.Errorf("read %s: %q is no line of copy.cu", path, r)
		}
		found[r[0]][block] = rate
	}
	return found, nil
}

// A pressed load is what a cell of kind stress left.
type pressed struct {
	result result.Stress
	json   []byte
}

// press runs a load in a process of its own, as the engine does, with a
// calibration for shares of the capacity.
func press(ctx context.Context, device string, calibration *pressed, with map[string]any) (*pressed, error) {
	dir, err := os.MkdirTemp("", "barograph-link-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	params := stress.Kind().With()
	b, err := json.Marshal(with)
	if err == nil {
		err = json.Unmarshal(b, params)
	}
	spec := cell.Spec{Kind: "stress", Stage: "stress", ID: fmt.Sprintf("stress %v", with), Machine: cell.Machine{Name: device, Device: device}}
	if err == nil {
		spec.With, err = json.Marshal(params)
	}
	if err != nil {
		return nil, err
	}
	if calibration != nil {
		at := filepath.Join(dir, "capacity.json")
		if err := os.WriteFile(at, calibration.json, 0o666); err != nil {
			return nil, err
		}
		spec.Inputs = []cell.Input{{Stage: "calibrate", Kind: "stress", ID: "calibrate", Files: map[string]string{result.StressFile: at}}}
	}
	line, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "cell")
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, bytes.NewReader(append(line, '\n')), os.Stderr
	events, err := cmd.Output()
	if told := said(events); told != nil {
		return nil, fmt.Errorf("%s: %w", spec.ID, told)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", spec.ID, err)
	}
	p := &pressed{}
	if p.json, err = os.ReadFile(filepath.Join(dir, result.StressFile)); err != nil {
		return nil, err
	}
	return p, json.Unmarshal(p.json, &p.result)
}

// said returns the error among a cell's events, if there is one.
func said(events []byte) error {
	for d := json.NewDecoder(bytes.NewReader(events)); ; {
		var e cell.Event
		if err := d.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what the cell said: %w", err)
		}
		if e.Type == "error" {
			return cell.Hint(errors.New(e.Text), "%s", e.Hint)
		}
	}
}
