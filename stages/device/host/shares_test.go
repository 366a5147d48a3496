package host

import (
	"reflect"
	"strings"
	"testing"

	"barograph/pipeline/cell"
)

func TestShares(t *testing.T) {
	on := func(nodes ...int) (gpus []cell.GPU) {
		for _, n := range nodes {
			g := cell.GPU{NUMA: &n}
			if n < 0 {
				g.NUMA = nil
			}
			gpus = append(gpus, g)
		}
		return gpus
	}
	two := map[int][][]int{0: {{0, 8}, {1, 9}, {2, 10}, {3, 11}}, 1: {{4, 12}, {5, 13}, {6, 14}, {7, 15}}}
	for _, tt := range []struct {
		name  string
		gpus  []cell.GPU
		cores map[int][][]int
		want  [][]int
	}{
		{"a node each", on(1, 0), two, [][]int{{4, 5, 6, 7, 12, 13, 14, 15}, {0, 1, 2, 3, 8, 9, 10, 11}}},
		{"two in a node", on(0, 0, 1), two, [][]int{{0, 1, 8, 9}, {2, 3, 10, 11}, {4, 5, 6, 7, 12, 13, 14, 15}}},
		{"not all are known", on(-1, 1), two, [][]int{{0, 1, 2, 3, 8, 9, 10, 11}, {4, 5, 6, 7, 12, 13, 14, 15}}},
		{"a node without processors", on(0, 2), two, [][]int{{0, 1, 2, 3, 8, 9, 10, 11}, {4, 5, 6, 7, 12, 13, 14, 15}}},
		{"uneven", on(0, 0), map[int][][]int{0: {{0}, {1}, {2}, {3}, {4}}}, [][]int{{0, 1}, {2, 3, 4}}},
	} {
		if got, err := shares(tt.gpus, tt.cores); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
	if _, err := shares(on(0, 0), map[int][][]int{0: {{0}, {1}, {2}}}); err == nil || !strings.Contains(err.Error(), "3 cores for 2 GPUs") {
		t.Error(err)
	}
}

// The kernel takes the nodes that it shows, and no others.
func TestBindMemory(t *testing.T) {
	for _, node := range []int{-1, 1 << 20, 1000} {
		if err := BindMemory(node); err == nil || !strings.Contains(err.Error(), "NUMA node") {
			t.Errorf("node %d: %v", node, err)
		}
	}
	if nodes := Nodes(); len(nodes) == 0 {
		t.Error("this computer has no node")
	}
}
