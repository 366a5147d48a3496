package slurm

import (
	"testing"
	"time"
)

// What no attempt that ends can change is told from what waits.
func TestNever(t *testing.T) {
	for reason, never := range map[string]bool{
		"PartitionTimeLimit": true, "DependencyNeverSatisfied": true, "BadConstraints": true, "QOSMaxWallDurationPerJobLimit": true, "AssocMaxGRESPerJob": true,
		"Resources": false, "Priority": false, "BeginTime": false, "Dependency": false, "AssocGrpCpuLimit": false, "JobArrayTaskLimit": false, "ReqNodeNotAvail, UnavailableNodes:n1": false, "None": false,
	} {
		if got := (Job{State: "PENDING", Reason: reason}).Never() != ""; got != never {
			t.Errorf("%s: never %v, want %v", reason, got, never)
		}
		if (Job{State: "RUNNING", Reason: reason}).Never() != "" {
			t.Errorf("%s of a job that runs", reason)
		}
	}
}

func TestTimeLimit(t *testing.T) {
	for text, want := range map[string]time.Duration{"UNLIMITED": 0, "00:01:00": time.Minute, "2-12:00:00": 60 * time.Hour, "1:00": 0, "": 0} {
		if got := TimeLimit(text); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}
