package main

import "fmt"

// target is a bound of one of our figures: by itself, or in relation to a peer's.
type target struct {
	figure string
	peer   string // "": the figure by itself
	other  string // the peer's figure; "": the same
	minus  bool   // what it is over the peer's figure is bounded, not the ratio

	atLeast bool // else at most
	bound   float64
}

// targets is what we want to reach.
var targets = []target{
	{figure: "accept/s", peer: "asynq-go", atLeast: true, bound: 1.3},
	{figure: "accept/s", peer: "bullmq", atLeast: true, bound: 2},
	{figure: "accept p99 ms", peer: "asynq-go", bound: 1},
	{figure: "accept p99 ms", peer: "bullmq", bound: 1},
	{figure: "start p50 ms", peer: "bullmq", bound: 1},
	{figure: "start p99 ms", peer: "bullmq", bound: 1},
	{figure: "start p50 ms", peer: "asynq-go", bound: 0.5},
	{figure: "start p50 ms", peer: "asynq-node", bound: 0.5},
	{figure: "drained/s", peer: "bullmq", atLeast: true, bound: 1},
	{figure: "drained/s", peer: "asynq-node", atLeast: true, bound: 1.6},
	{figure: "CPU µs", peer: "bullmq", bound: 1},
	{figure: "CPU µs", peer: "asynq-node", bound: 0.65},
	{figure: "sync v1 p50 ms", bound: 1},
	{figure: "sync v1 p50 ms", peer: netlify, bound: 0.5},
	{figure: "sync v2 p50 ms", peer: netlify, bound: 0.01},
	{figure: "first p50 ms", bound: 20},
	{figure: "bare first p50 ms", peer: nodeFile, other: "first p50 ms", minus: true, bound: 10},
	{figure: "idle gateway %", bound: 0.5},
	{figure: "idle worker %", bound: 0.5},
	{figure: "idle scheduler %", bound: 0.5},
	{figure: "idle commands/s", bound: 10},
	{figure: "peak RSS MiB", bound: 100},
}

func (t target) theirs() string {
	if t.other != "" {
		return t.other
	}
	return t.figure
}

// against relates our number to theirs.
func (t target) against(own, peer float64) float64 {
	if t.minus {
		return own - peer
	}
	return own / peer
}

func (t target) met(value float64) bool {
	if t.atLeast {
		return value >= t.bound
	}
	return value <= t.bound
}

// name is what the target is kept under.
func (t target) name() string {
	switch {
	case t.peer == "":
		return t.figure
	case t.minus:
		return t.figure + " - " + t.peer
	default:
		return t.figure + " / " + t.peer
	}
}

func (t target) want() string {
	sign, unit := "≤", ""
	if t.atLeast {
		sign = "≥"
	}
	if t.peer != "" && !t.minus {
		unit = "×"
	}
	return fmt.Sprintf("%s %g%s", sign, t.bound, unit)
}
