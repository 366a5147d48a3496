package device

// A State is that of a GPU at a moment; zero where its driver does not tell. Clocks
// are in MHz, the temperature in degrees Celsius.
type State struct {
	Name          string   `json:"name"`
	UUID          string   `json:"uuid"`
	PCI           string   `json:"pci"`
	Driver        string   `json:"driver"`
	Generation    int      `json:"link_generation"`
	MaxGeneration int      `json:"max_link_generation"`
	Width         int      `json:"link_width"`
	MaxWidth      int      `json:"max_link_width"`
	Replays       int      `json:"replays"`
	SMClock       int64    `json:"sm_clock_mhz"`
	MaxSMClock    int64    `json:"max_sm_clock_mhz"`
	MemoryClock   int64    `json:"memory_clock_mhz"`
	Temperature   int64    `json:"temperature"`
	MemoryUsed    int64    `json:"memory_used_bytes"`
	Memory        int64    `json:"memory_bytes"`
	Throttled     []string `json:"throttled,omitempty"`
	// Held is for how long, in nanoseconds since the driver started, each policy
	// has held the clocks down.
	Held      map[string]int64 `json:"held_ns,omitempty"`
	Processes []int            `json:"processes,omitempty"`
	// Received and Sent are the link's bytes per second, headers included, over
	// 20 ms each.
	Received int64 `json:"received_bytes_per_s"`
	Sent     int64 `json:"sent_bytes_per_s"`
}
