package result

import (
	"reflect"
	"testing"
)

// Each group is told of as a trial of its own members.
func TestApart(t *testing.T) {
	whole := &Infer{Model: "b", Calls: 9, Delay: 5, Window: [2]int64{1, 90}, Tenancy: &Tenancy{
		Tenant: 2, Of: 3, Beside: []string{"a", "c"}, Windows: [][2]int64{{1, 20}, {30, 50}, {60, 90}},
		Groups: []Together{{Round: 1, Tenants: []int{2}, Calls: 4, Delay: 3, Window: [2]int64{1, 20}}, {Round: 3, Tenants: []int{2, 3}, Calls: 5, Delay: 2, Window: [2]int64{60, 90}}},
	}}
	parts := whole.Apart()
	if len(parts) != 2 {
		t.Fatalf("%d parts", len(parts))
	}
	for i, want := range []Infer{
		{Model: "b", Calls: 4, Delay: 3, Window: [2]int64{1, 20}, Tenancy: &Tenancy{Tenant: 2, Of: 1, Loaded: 3, Windows: [][2]int64{{1, 20}}}},
		{Model: "b", Calls: 5, Delay: 2, Window: [2]int64{60, 90}, Tenancy: &Tenancy{Tenant: 2, Of: 2, Loaded: 3, Beside: []string{"c"}, Windows: [][2]int64{{60, 90}}}},
	} {
		if !reflect.DeepEqual(*parts[i], want) {
			t.Errorf("part %d: %+v, %+v", i+1, *parts[i], *parts[i].Tenancy)
		}
	}
	if whole.Tenancy.Of != 3 || len(whole.Tenancy.Beside) != 2 {
		t.Error("the whole has changed")
	}
	if (&Infer{}).Apart() != nil || (&Infer{Tenancy: &Tenancy{}}).Apart() != nil {
		t.Error("a trial of one group has parts")
	}
}
