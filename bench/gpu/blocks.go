package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"barograph/pipeline/cell/unit"
)

// What loops.cu copies.
var (
	blockSizes = []int64{64 << 10, 256 << 10, 1 << 20, 4 << 20}
	inFlight   = []int{1, 2}
)

// blocks compares a stressor of one thread with loops.cu, where what the host does
// between two copies decides: small blocks, and few in flight. They take turns, and
// medians are compared. A share of the link is one of its calibrated capacity.
func blocks(ctx context.Context, args []string) error {
	f := flags("blocks")
	device := f.String("device", "cuda", "device, such as cuda:1, host or sim")
	program := f.String("loops", "", "the `program` made of loops.cu; without it ours stand alone")
	each := f.Duration("each", 150*time.Millisecond, "how long each load is measured")
	turns := f.Int("turns", 5, "how many times each load is measured")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *turns < 1 || *each <= 0 {
		return fmt.Errorf("-turns %d, -each %v: want at least one turn, and a time", *turns, *each)
	}
	l := newLoader(*device, *each, *turns)
	if *program != "" {
		path, err := filepath.Abs(*program)
		if err != nil {
			return err
		}
		l.plain = func() (bandwidths, error) { return runCopies(ctx, path, fmt.Sprint(each.Milliseconds())) }
	}
	return l.calibrated(ctx, func(capacity map[string]float64) error { return l.blocks(ctx, capacity) })
}

// blocks prints what there is also where it is cut off.
func (l *loader) blocks(ctx context.Context, capacity map[string]float64) error {
	ours, plain := bandwidths{}, bandwidths{}
	cut := l.turns(ctx, ours, plain)
	out := csv.NewWriter(os.Stdout)
	_ = out.Write([]string{"direction", "block_bytes", "in_flight", "bytes_per_s", "of_link", "plain_bytes_per_s", "of_plain", "turns", "plain_turns"})
	for _, p := range points() {
		if len(ours[p]) == 0 {
			continue
		}
		got := middle(ours[p])
		row := []string{p.direction, fmt.Sprint(p.block), fmt.Sprint(p.flight), fmt.Sprintf("%.0f", got), fmt.Sprintf("%.3f", got/capacity[p.direction]), "", "", whole(ours[p]), ""}
		if of := plain[p]; len(of) > 0 {
			row[5], row[6], row[8] = fmt.Sprintf("%.0f", middle(of)), fmt.Sprintf("%.3f", got/middle(of)), whole(of)
		} else if l.plain != nil {
			return errors.Join(cut, fmt.Errorf("loops.cu said nothing of %s, %v, %d in flight", p.direction, unit.Size(p.block), p.flight))
		}
		_ = out.Write(row) // a writer keeps its error until Flush
	}
	out.Flush()
	return errors.Join(cut, out.Error())
}

func (l *loader) turns(ctx context.Context, ours, plain bandwidths) error {
	for range l.rounds {
		if err := l.again(plain); err != nil {
			return err
		}
		for _, p := range points() {
			w := load()
			w.Threads, w.Outstanding, w.Block, w.Direction = 1, p.flight, unit.Size(p.block), p.direction
			r, err := l.press(ctx, w)
			if err != nil {
				return err
			}
			ours[p] = append(ours[p], r.Achieved)
		}
	}
	return nil
}

func points() (all []point) {
	for _, d := range directions {
		for _, b := range blockSizes {
			for _, n := range inFlight {
				all = append(all, point{d, b, n})
			}
		}
	}
	return all
}
