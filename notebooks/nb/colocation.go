package nb

import "barograph/stages/colocation"

// Colocation compares models that shared a device with themselves alone, by how they
// shared it and what ran beside them: slowdowns of p50 and p99 with intervals, and what
// groups answer together. Of samples without tenants the report is empty. Resampling is
// seeded by the cell.
func (s *Set) Colocation() *colocation.Report {
	return try(colocation.Compare(s.table, called("Set.Colocation").seed())).or("Set.Colocation")
}
