package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// columns are the figures of which peers have one, by table.
var columns = [][]string{
	{"accept/s", "accept p99 ms", "accept µs", "start p50 ms", "start p99 ms", "drained/s", "CPU µs", "RSS MiB"},
	{"sync v1 p50 ms", "sync v2 p50 ms", "first p50 ms"},
}

// report prints the medians, the ratios, and what moved, and keeps the numbers if
// they are accepted.
func report(w io.Writer, b *book, accept bool) error {
	before, err := readKept(keptPath())
	if err != nil {
		return err
	}
	run := printTargets(w, b)
	lines := before.changes(run, targets)
	switch {
	case len(before) == 0:
		fmt.Fprintln(w, "\nNothing was accepted yet to compare with.")
	case len(lines) == 0:
		fmt.Fprintln(w, "\nNothing moved by more than noise since what was accepted.")
	default:
		fmt.Fprintln(w, "\nMoved since what was accepted:")
	}
	for _, line := range lines {
		fmt.Fprintln(w, "  "+line)
	}
	if !accept {
		return nil
	}
	return before.write(keptPath(), run)
}

// printTargets prints the tables, and returns the numbers of all targets.
func printTargets(w io.Writer, b *book) kept {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(first string, cells []string) {
		for _, cell := range cells {
			first += "\t" + cell
		}
		fmt.Fprintln(table, first+"\t")
	}
	for _, figures := range columns {
		if !b.has(figures) {
			continue
		}
		fmt.Fprintln(w)
		line("medians", figures)
		for _, name := range slices.Concat(names(), []string{older, netlify, lambda, nodeFile}) {
			var cells []string
			for _, figure := range figures {
				cells = append(cells, cell(b.median(name, figure)))
			}
			if slices.ContainsFunc(cells, func(cell string) bool { return cell != none }) {
				line(name, cells)
			}
		}
		_ = table.Flush()
	}
	fmt.Fprintln(w)
	run := kept{}
	line("target", []string{"ours", "theirs", "number", "rounds", "wanted", ""})
	row := func(t target, m measured, want, verdict string) {
		line(t.name(), []string{
			cell(b.median(ours, t.figure)), cell(b.median(t.peer, t.theirs())),
			number(m.Value), number(m.Low) + "–" + number(m.High), want, verdict,
		})
	}
	for _, t := range targets {
		m, ok := b.measure(t)
		if !ok {
			continue
		}
		run[t.name()] = m
		row(t, m, t.want(), map[bool]string{true: "met", false: "MISSED"}[t.met(m.Value)])
	}
	for _, figure := range slices.Concat(columns...) { // beside an older build there is nothing to reach
		t := target{figure: figure, peer: older}
		if m, ok := b.measure(t); ok {
			row(t, m, "", "")
		}
	}
	_ = table.Flush()
	return run
}

// none stands where nothing was measured.
const none = "–"

func cell(value float64, ok bool) string {
	if !ok {
		return none
	}
	return number(value)
}

// number prints three digits that say something, and no exponent.
func number(f float64) string {
	switch {
	case f >= 100 || f <= -100:
		return strconv.FormatFloat(f, 'f', 0, 64)
	case f >= 10 || f <= -10:
		return strconv.FormatFloat(f, 'f', 1, 64)
	case f < 0.1 && f > -0.1:
		return strconv.FormatFloat(f, 'g', 2, 64)
	default:
		return strconv.FormatFloat(f, 'f', 2, 64)
	}
}
