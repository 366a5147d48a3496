package collect

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"

	"barograph/stages/device"
	"barograph/stages/recording"
	"barograph/stages/result"
)

const (
	timelineCalls  = 12
	timelineSlices = 120
)

// timelines gives a timeline to the first trial of each point, replicates apart,
// that had a load.
func (r *run) timelines() error {
	seen := map[string]bool{}
	for i, t := range r.Trials {
		point := t.Stage
		for _, c := range t.Point {
			if c.Axis != "replicate" {
				point += fmt.Sprintf(" %s=%v", c.Axis, c.Value)
			}
		}
		if t.During != "" || seen[point] || r.files[i].copies == "" || t.Stress.Threads == 0 {
			continue
		}
		seen[point] = true
		var err error
		if t.Timeline, err = timeline(r.files[i]); err != nil {
			return fmt.Errorf("%s: %w", t.ID, err)
		}
	}
	return nil
}

// timeline reads the first calls of a trial, and what was copied meanwhile.
func timeline(left files) (*recording.Timeline, error) {
	line := &recording.Timeline{}
	end := int64(0)
	err := numbers(left.calls, result.CallsFile, func(v []int64) bool {
		if line.Calls == 0 {
			line.Start = v[1]
		}
		end = v[1] + v[3] // latency runs from the scheduled arrival
		line.Calls++
		return line.Calls < timelineCalls
	})
	if err != nil || line.Calls == 0 {
		return nil, err
	}
	line.Slice = max(1, (end-line.Start+timelineSlices-1)/timelineSlices)
	slices := (end - line.Start + line.Slice - 1) / line.Slice
	sum := make([]float64, max(1, slices))
	err = numbers(left.copies, result.CopiesFile, func(v []int64) bool {
		c := device.Copy{Start: v[1], Bytes: v[2], Duration: v[3]}
		first, last := max(0, (c.Start-line.Start)/line.Slice), (c.End()-line.Start)/line.Slice
		for i := first; c.End() >= line.Start && i <= last && i < int64(len(sum)); i++ {
			from := line.Start + i*line.Slice
			sum[i] += c.Within(from, from+line.Slice)
		}
		return c.Start < end // copies stand in order of their start
	})
	if err != nil {
		return nil, err
	}
	for _, bytes := range sum {
		line.Bytes = append(line.Bytes, int64(bytes+0.5))
	}
	return line, nil
}

// numbers reads a CSV file by its name, which may be compressed, and hands on the first
// four fields of each line below its header, whole numbers all, until use has enough.
func numbers(path, name string, use func([]int64) (more bool)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	from, err := recording.Unpack(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	s := bufio.NewScanner(from)
	values := make([]int64, 4)
	for line := 1; s.Scan(); line++ {
		if line == 1 {
			continue
		}
		rest := s.Bytes()
		for i := range values {
			var field []byte
			field, rest, _ = bytes.Cut(rest, []byte(","))
			if values[i], err = strconv.ParseInt(string(field), 10, 64); err != nil {
				return fmt.Errorf("%s:%d: want whole numbers, found %q", name, line, s.Text())
			}
		}
		if !use(values) {
			return nil
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}
