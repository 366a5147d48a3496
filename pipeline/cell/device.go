package cell

import (
	"fmt"
	"strconv"
	"strings"
)

// Family returns what kind of device one is: host, sim, or cuda for cuda:1.
func Family(device string) string {
	family, _, _ := strings.Cut(device, ":")
	return family
}

// Ordinal returns the number of a device among those of its family, from 0: 1 for
// cuda:1. A device without a number is the first.
func Ordinal(device string) int {
	_, number, _ := strings.Cut(device, ":")
	n, _ := strconv.Atoi(number) // none is 0
	return n
}

// Simulated tells whether the machine's device is.
func (m Machine) Simulated() bool { return Family(m.Device) == "sim" }

// On returns the machine with one of its GPUs as the device that is measured on,
// counted from 0.
func (m Machine) On(gpu int) Machine {
	m.Device = fmt.Sprintf("%s:%d", Family(m.Device), gpu)
	return m
}
