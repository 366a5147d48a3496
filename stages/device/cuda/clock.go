package cuda

// A clock puts the ends of copies, told as time since the one before on the
// GPU's clock, on the host's. The host learns of an end only later, by a delay
// that is never less than nothing: so the least difference seen between the two
// is the best, and it is let grow by a part in 10,000, more than the clocks drift
// apart.
type clock struct {
	elapsed float64 // on the GPU's clock, in nanoseconds
	offset  float64 // of the host's
}

// tell returns when a copy ended, gap nanoseconds after the one before, given
// when the host learnt of it.
func (c *clock) tell(gap float64, learnt int64) int64 {
	const drift = 1e-4
	c.elapsed += gap
	c.offset = min(c.offset+drift*gap, float64(learnt)-c.elapsed)
	return int64(c.elapsed + c.offset)
}
