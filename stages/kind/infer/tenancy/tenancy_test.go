package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"barograph/pipeline/cell"
)

func input(kind, id, with string) cell.Input {
	return cell.Input{Kind: kind, ID: id, With: json.RawMessage(with)}
}

// trial returns the specification of each cell of a trial whose first is the foreground.
func trial(gang ...cell.Input) (specs []cell.Spec) {
	for i, in := range gang {
		s := cell.Spec{Kind: in.Kind, ID: in.ID, With: in.With, Background: i > 0}
		if i > 0 {
			s.During = gang[0].ID
		}
		for j, other := range gang {
			if i != j {
				s.Gang = append(s.Gang, other)
			}
		}
		specs = append(specs, s)
	}
	return specs
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		device string
		p      Params
		wants  string
	}{
		{"host", Params{}, ""},
		{"host", Params{Tenancy: "thread", Rounds: 3}, ""},
		{"cuda:1", Params{Tenancy: "mps", Percent: 50, Priority: "low"}, ""},
		{"host", Params{Tenancy: "mps"}, "service of NVIDIA"},
		{"cuda", Params{Tenancy: "green"}, "not one of process, thread, mps"},
		{"cuda", Params{Percent: 50}, "mps_threads is 50 with tenancy: process"},
		{"cuda", Params{Tenancy: "thread", Priority: "low"}, "mps_priority is low with tenancy: thread"},
		{"cuda", Params{Tenancy: "mps", Percent: 101}, "from 1 to 100"},
		{"cuda", Params{Tenancy: "mps", Priority: "high"}, "not one of normal, low"},
		{"cuda", Params{Rounds: -1}, "rounds is -1"},
		{"cuda", Params{Tenancy: "thread", SMs: 50}, ""},
		{"sim", Params{Tenancy: "thread", SMs: 50}, ""},
		{"host", Params{Groups: []int{1, 2}}, ""},
		{"host", Params{Groups: []int{1, 2}, Rounds: 2}, "one window for each of its groups"},
		{"host", Params{Groups: []int{0}}, "how many tenants call at once"},
		{"host", Params{Tenancy: "thread", SMs: 50}, "only a GPU's multiprocessors"},
		{"cuda", Params{Tenancy: "mps", SMs: 50}, "sm_percent is 50 with tenancy: mps"},
		{"cuda", Params{Tenancy: "thread", SMs: 101}, "from 1 to 100"},
	} {
		if err := c.p.Check(c.device); (err == nil) != (c.wants == "") || err != nil && !strings.Contains(err.Error(), c.wants) {
			t.Errorf("%+v on %s: %v, want %q", c.p, c.device, err, c.wants)
		}
	}
}

func TestTogether(t *testing.T) {
	a, b := input("infer", "a", `{"model": "x", "calls": 1}`), input("infer", "b", `{"model": {"file": "d/y.onnx"}, "calls": 1}`)
	mps := func(id string) cell.Input { return input("infer", id, `{"model": "x", "tenancy": "mps"}`) }
	daemon, load := input("stress", "s", `{"sharing": "mps"}`), input("stress", "s", `{"sharing": "separate"}`)
	part := func(id string, sms int) cell.Input {
		return input("infer", id, fmt.Sprintf(`{"model": "x", "tenancy": "thread", "sm_percent": %d}`, sms))
	}
	grouped := func(id, groups string) cell.Input {
		return input("infer", id, fmt.Sprintf(`{"model": "x", "groups": %s}`, groups))
	}
	var many []cell.Input
	for i := range Most + 1 {
		many = append(many, input("infer", fmt.Sprint(i), `{"model": "x"}`))
	}
	for name, c := range map[string]struct {
		gang  []cell.Input
		spare int64
		wants string
	}{
		"a load alone":     {[]cell.Input{load}, 0, ""},
		"a pair":           {[]cell.Input{a, b, load}, 200, ""},
		"that needs more":  {[]cell.Input{a, b, load}, 199, "2 tenants need at least"},
		"alone under MPS":  {[]cell.Input{mps("a"), daemon}, 0, ""},
		"MPS, no daemon":   {[]cell.Input{mps("a"), mps("b"), load}, 0, "no cell of the trial keeps MPS's daemon"},
		"a daemon, no MPS": {[]cell.Input{a, b, daemon}, 0, "whose daemon would serve all"},
		"two ways":         {[]cell.Input{a, mps("b"), daemon}, 0, "tenancy of a is process, and of b mps"},
		"other rounds":     {[]cell.Input{a, input("infer", "b", `{"model": "x", "rounds": 2}`)}, 0, "rounds of a is 1, and of b 2"},
		"too many":         {many, 0, "at most 32"},
		"groups of three":  {[]cell.Input{grouped("a", "[3]"), grouped("b", "[3]")}, 0, "groups of 3 tenants in the trial of a, which has 2"},
		"other groups":     {[]cell.Input{grouped("a", "[2]"), grouped("b", "[1, 2]")}, 0, "groups of a is [2], and of b [1 2]"},
		"in halves":        {[]cell.Input{part("a", 50), part("b", 50)}, 0, ""},
		"in parts of more": {[]cell.Input{part("a", 60), part("b", 50)}, 0, "sm_percent of the tenants of a is 110% together"},
		"a part and all":   {[]cell.Input{part("a", 50), part("b", 0)}, 0, "sm_percent of a is 50, and of b 0"},
		"beside a line":    {[]cell.Input{input("command", "c", "{}"), a}, 0, "a is an inference in the background of c, which is none"},
	} {
		err := Together("cuda", c.gang, c.spare, func(cell.Input) (int64, error) { return 100, nil })
		if (err == nil) != (c.wants == "") || err != nil && !strings.Contains(err.Error(), c.wants) {
			t.Errorf("%s: %v, want %q", name, err, c.wants)
		}
	}
	broken := errors.New("no such model")
	if err := Together("cuda", []cell.Input{a, b}, 1, func(cell.Input) (int64, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// Only trials with tenants have variables of theirs, and all of one trial the same page.
func TestEnviron(t *testing.T) {
	environ := func(s cell.Spec) map[string]string {
		by, err := Environ(t.Context(), &s)
		if err != nil {
			t.Fatal(err)
		}
		return by
	}
	alone := trial(input("infer", "a", `{"model": "x"}`), input("stress", "s", `{}`))
	for _, s := range alone {
		if by := environ(s); len(by) > 0 || Shared(&s) != (s.Kind == "stress") {
			t.Errorf("%s alone: %v", s.ID, by)
		}
	}
	pair := trial(input("infer", "a", `{"model": "x", "tenancy": "mps", "mps_threads": 30}`), input("infer", "b", `{"model": "y", "tenancy": "mps", "mps_priority": "low"}`), input("stress", "s", `{}`))
	a, b := environ(pair[0]), environ(pair[1])
	if a[variable] == "" || a[variable] != b[variable] || a["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] != "30" || b["CUDA_MPS_CLIENT_PRIORITY"] != "1" || len(a) != 2 || len(b) != 2 {
		t.Errorf("%v, %v", a, b)
	}
	if by := environ(pair[2]); len(by) > 0 {
		t.Errorf("of the load: %v", by)
	}
}

// Tenants of a trial tell the same terms of all, and none where each has the whole GPU.
func TestTerms(t *testing.T) {
	for want, with := range map[string][2]string{
		"":              {`"tenancy": "thread"`, `"tenancy": "thread"`},
		"60%+40%":       {`"tenancy": "thread", "sm_percent": 60`, `"tenancy": "thread", "sm_percent": 40`},
		"50%+100% low":  {`"tenancy": "mps", "mps_threads": 50`, `"tenancy": "mps", "mps_priority": "low"`},
		"100%+100% low": {`"tenancy": "mps", "mps_priority": "normal"`, `"tenancy": "mps", "mps_priority": "low"`},
	} {
		for _, s := range trial(input("infer", "a", `{"model": "x", `+with[0]+`}`), input("infer", "b", `{"model": "x", `+with[1]+`}`)) {
			if m, err := Join(&s); err != nil || m.Terms != want {
				t.Errorf("%s of %v: %q, %v, want %q", s.ID, with, m.Terms, err, want)
			}
		}
	}
}

// calling makes calls, each so long, as a tenant's loop does, while another looks on.
func calling(ctx context.Context, m *Member, each time.Duration) (kept [][2]int64, err error) {
	if err := m.Begin(ctx, false); err != nil {
		return nil, err
	}
	if m.Pauses() {
		if err := m.Sit(ctx); err != nil {
			return nil, err
		}
		_, err := m.End(ctx)
		return nil, err
	}
	var done atomic.Int64
	over, failed := make(chan bool), make(chan error, 1)
	go func() {
		defer close(over)
		for tick := time.Tick(Glance); ; <-tick {
			if over, err := m.Saw(int(done.Load())); over {
				failed <- err
				return
			}
		}
	}()
	var all [][2]int64
	for due := cell.Now(); ; {
		select {
		case <-over:
			if err := <-failed; err != nil {
				return nil, err
			}
			window, err := m.End(ctx)
			return Cut(m, window, all, func(s [2]int64) (int64, int64) { return s[0], s[1] }), err
		default:
		}
		time.Sleep(each)
		now := cell.Now()
		all = append(all, [2]int64{due, now})
		due = now
		done.Add(1)
	}
}

// Each tenant has as many calls as were asked for in a window that all have in common,
// over a page in a file as over one in memory, and the faster has more.
func TestRounds(t *testing.T) {
	specs := trial(input("infer", "z", `{"model": "slow", "calls": 20, "rounds": 2}`), input("infer", "b", `{"model": "b", "calls": 10, "rounds": 2}`), input("infer", "c", `{"model": "c", "calls": 20, "rounds": 2}`))
	path := filepath.Join(t.TempDir(), "page")
	t.Setenv(variable, path)
	var members []*Member
	for i, s := range specs {
		m, err := Join(&s)
		if err != nil {
			t.Fatal(err)
		}
		if m.Number != i+1 || !reflect.DeepEqual(m.Models, []string{"slow", "b", "c"}) || len(m.Beside()) != 2 {
			t.Errorf("%+v", m)
		}
		members = append(members, m)
	}
	members[1].Lodge()
	if here, err := os.Getwd(); err != nil {
		t.Fatal(err)
	} else if at, err := os.Readlink(members[1].Folder()); at != here {
		t.Errorf("a tenant leaves its outputs in %s, %v", at, err)
	}
	if places := [][]int{members[0].Place([]int{0, 1, 2, 3, 4, 5, 6}), members[2].Place([]int{0, 1, 2, 3, 4, 5, 6}), members[1].Place([]int{4, 5})}; !reflect.DeepEqual(places, [][]int{{0, 1}, {4, 5, 6}, {4, 5}}) {
		t.Errorf("processors %v", places)
	}
	for round := range 2 {
		counts := make([]int, len(members))
		errs := make(chan error)
		for i, m := range members {
			go func() {
				kept, err := calling(t.Context(), m, map[int]time.Duration{0: 2 * time.Millisecond}[i]+time.Millisecond/2)
				counts[i] = len(kept)
				for _, s := range kept {
					if w := m.spans[round]; s[0] < w[0] || s[1] > w[1] {
						err = fmt.Errorf("call %v outside of %v", s, w)
					}
				}
				errs <- err
			}()
		}
		for range members {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		if counts[0] < 20 || counts[1] < 10 || counts[2] <= counts[0] {
			t.Errorf("calls %v", counts)
		}
		for _, m := range members[1:] {
			if m.spans[round] != members[0].spans[round] {
				t.Errorf("windows %v and %v", m.spans[round], members[0].spans[round])
			}
		}
	}
	for _, m := range members {
		if windows, cut := m.Windows(); len(windows) != 2 || cut[0] < 2*settled || windows[1][0] <= windows[0][1] {
			t.Errorf("windows %v, cut %v", windows, cut)
		}
	}
}

// Each group of tenants has a window of its own, in one order for all, in which the others
// make no calls, the first tenant among them.
func TestGroups(t *testing.T) {
	const with = `{"model": "x", "calls": 5, "groups": [2, 1, 2]}`
	specs := trial(input("infer", "a", with), input("infer", "b", with), input("infer", "c", with))
	first, err := Join(&specs[0])
	if err != nil {
		t.Fatal(err)
	}
	others, _, err := first.Guests(&specs[0])
	if err != nil {
		t.Fatal(err)
	}
	members := append([]*Member{first}, others...)
	if n := first.Rounds(7); n != 6 {
		t.Fatalf("%d rounds, want one alone for each of 3 tenants and each of 3 pairs", n)
	}
	seen := map[string]bool{}
	for round := 1; round <= 6; round++ {
		group := first.Group(round)
		seen[fmt.Sprint(group)] = true
		made := make([]int, len(members))
		var all errgroup.Group
		for i, m := range members {
			if !slices.Equal(m.Group(round), group) {
				t.Fatalf("round %d is of %v and of %v", round, group, m.Group(round))
			}
			all.Go(func() error {
				kept, err := calling(t.Context(), m, time.Millisecond)
				made[i] = len(kept)
				return err
			})
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
		for i, n := range made {
			if in := slices.Contains(group, i+1); in && n < 5 || !in && n > 0 {
				t.Errorf("round %d of %v: tenant %d has %d calls", round, group, i+1, n)
			}
		}
	}
	if len(seen) != 6 {
		t.Errorf("groups %v", seen)
	}
	if a, b := drawn(3, []int{1, 2}, 1), drawn(3, []int{2, 1}, 2); reflect.DeepEqual(a, b) {
		t.Error("two seeds draw one order")
	}
}

// A tenant that does not call, or not often enough, ends the round with its name.
func TestLate(t *testing.T) {
	for wants, each := range map[string]time.Duration{
		"tenant 2 (b) had not made 5 calls":                 time.Second,
		"of the calls in its window tenant 2 (b) has made ": 20 * time.Millisecond,
	} {
		specs := trial(input("infer", "a", `{"model": "a", "calls": 5, "limit": "200ms"}`), input("infer", "b", `{"model": "b", "calls": 500}`))
		m, err := Join(&specs[0])
		if err != nil {
			t.Fatal(err)
		}
		guests, _, err := m.Guests(&specs[0])
		if err != nil || len(guests) != 1 {
			t.Fatal(guests, err)
		}
		ctx, stop := context.WithCancel(t.Context())
		go calling(ctx, guests[0], each)
		if _, err := calling(ctx, m, time.Millisecond); err == nil || !strings.Contains(err.Error(), wants) {
			t.Errorf("each call %v: %v, want %q", each, err, wants)
		}
		m.page.end.Store(1)
		stop()
	}
}

// Looking on allocates nothing, whatever the others have done: what a trial of minutes
// would gather is not collected.
func TestLookingAllocatesNothing(t *testing.T) {
	specs := trial(input("infer", "a", `{"model": "a", "calls": 500}`), input("infer", "b", `{"model": "b", "calls": 500}`))
	m, err := Join(&specs[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Begin(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	for _, others := range []int64{0, m.round} { // has not called; has made few calls
		m.page.tenants[1].running.Store(others)
		done := settled
		if n := testing.AllocsPerRun(20, func() { done++; _, err = m.Saw(done) }); n > 0 || err != nil {
			t.Errorf("%v allocations a look, %v", n, err)
		}
	}
	if m.page.start.Load() == 0 {
		t.Error("the window is not open")
	}
}
