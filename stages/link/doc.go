// Package link measures what the link of a machine does, and holds it as a link
// card: the capacity each way and both ways at once, the turn for which a copy
// engine serves one process before the next, the small path that evades it, and
// what copies in flight do.
//
// A card's intervals are 95% ones.
package link
