package cuda

import (
	"reflect"
	"testing"
)

// Parts of an H100, whose 132 multiprocessors the driver puts into 15 groups of 8 and a
// remainder of 12, do not overlap, and are as large as was asked for, within half a group.
func TestRuns(t *testing.T) {
	for _, c := range []struct {
		percents []int
		want     [][2]int
	}{
		{[]int{50}, [][2]int{{0, 8}}},
		{[]int{50, 50}, [][2]int{{0, 8}, {8, 16}}}, // 64 and 56+12
		{[]int{25, 25, 50}, [][2]int{{0, 4}, {4, 8}, {8, 16}}},
		{[]int{100}, [][2]int{{0, 16}}},
		{[]int{95}, [][2]int{{0, 15}}},
		{[]int{30, 30}, [][2]int{{0, 5}, {5, 10}}},
		{[]int{94, 6}, [][2]int{{0, 15}, {15, 16}}},
		{[]int{2}, nil},
		{[]int{60, 50}, nil},
		{[]int{50, 1, 49}, nil},
	} {
		got, err := runs(c.percents, 15, 8, 132)
		if !reflect.DeepEqual(got, c.want) || (err == nil) != (c.want != nil) {
			t.Errorf("%v: groups %v, %v, want %v", c.percents, got, err, c.want)
		}
	}
}
