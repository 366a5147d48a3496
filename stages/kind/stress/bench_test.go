package stress

import (
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"barograph/pipeline/cell"
	"barograph/stages/result"
)

// BenchmarkCapacity sets the calibrated capacity of the host beside what
// Debian's mbw shows for memcpy with as many processes as threads, on the same
// CPUs, in turn in one run:
//
//	go test -bench Capacity -benchtime 5x ./stages/kind/stress
//
// own-ratio is for the stressor's CPUs, all-ratio for all of the machine's.
func BenchmarkCapacity(b *testing.B) {
	if _, err := exec.LookPath("mbw"); err != nil {
		b.Skip("mbw is not installed: apt-get install mbw")
	}
	own, all, err := place()
	if err != nil {
		b.Fatal(err)
	}
	var ours, theirs, oursAll, theirsAll float64
	for b.Loop() {
		c := serve(b, cell.Spec{Machine: hostMachine}, `{"mode": "capacity", "directions": ["h2d"]}`)
		c.in.Close()
		if err := c.end(); err != nil {
			b.Fatal(err)
		}
		var r result.Stress
		if err := cell.ReadJSON(result.StressFile, &r); err != nil {
			b.Fatal(err)
		}
		ours += r.Capacity["h2d"]
		theirs += mbw(b, own, r.Threads)
		oursAll += r.AllCPUs["h2d"]
		theirsAll += mbw(b, all, r.Threads*len(all)/len(own))
	}
	n := float64(b.N) * 1e9
	b.ReportMetric(ours/n, "own-GB/s")
	b.ReportMetric(theirs/n, "own-mbw-GB/s")
	b.ReportMetric(ours/theirs, "own-ratio")
	b.ReportMetric(oursAll/n, "all-GB/s")
	b.ReportMetric(theirsAll/n, "all-mbw-GB/s")
	b.ReportMetric(oursAll/theirsAll, "all-ratio")
}

var average = regexp.MustCompile(`(?m)^AVG.*Copy: ([0-9.]+) MiB/s`)

// mbw returns the sum of memcpy bandwidths of so many processes at once, in
// bytes per second.
func mbw(b *testing.B, cpus []int, processes int) (sum float64) {
	list := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(cpus)), ","), "[]")
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range processes {
		wg.Go(func() {
			out, err := exec.Command("taskset", "-c", list, "mbw", "-q", "-t0", "-n", "20", "64").CombinedOutput()
			m := average.FindSubmatch(out)
			if err != nil || m == nil {
				b.Errorf("mbw: %v\n%s", err, out)
				return
			}
			v, err := strconv.ParseFloat(string(m[1]), 64)
			if err != nil {
				b.Error(err)
			}
			mu.Lock()
			sum += v * (1 << 20)
			mu.Unlock()
		})
	}
	wg.Wait()
	return sum
}
