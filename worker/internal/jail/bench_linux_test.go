package jail_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nightshift/nightshift/worker/internal/jail"
	"github.com/nightshift/nightshift/worker/internal/jail/jailtest"
	"github.com/nightshift/nightshift/worker/internal/process"
)

// BenchmarkStart starts a program that ends at once, with and without walls.
func BenchmarkStart(b *testing.B) {
	for _, open := range []bool{false, true} {
		b.Run(map[bool]string{false: "walls", true: "open"}[open], func(b *testing.B) {
			j := jailtest.New(b, func(c *jail.Config) { c.Open = open })
			for b.Loop() {
				c, err := j.Cell()
				if err != nil {
					b.Fatal(err)
				}
				cfg := process.Config{Path: "/bin/true"}
				c.Lock(&cfg)
				p, err := process.Start(cfg)
				if err != nil {
					b.Fatal(err)
				}
				<-p.Done()
				if err := c.Remove(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAdopt is what a call waits for when a spare gets its code.
func BenchmarkAdopt(b *testing.B) {
	for _, files := range []int{3, 100, 2000} {
		b.Run(fmt.Sprint(files), func(b *testing.B) {
			j := jailtest.New(b)
			code := jailtest.Dir(b)
			for n := range files {
				if err := os.WriteFile(filepath.Join(code, fmt.Sprint(n)), nil, 0o444); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				b.StopTimer()
				c, err := j.Cell()
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if _, err := c.Adopt(code); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := c.Remove(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
