package store

import (
	"context"
	_ "embed"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/pause.lua
	pauseBody string
	//go:embed lua/resume.lua
	resumeBody string

	pauseScript  = redis.NewScript(pauseBody)
	resumeScript = redis.NewScript(resumeBody)
)

// maxPauses is how many pauses of a function are remembered, with the one under way.
const maxPauses = 20

// Pause is a schedule's pause that is under way.
type Pause struct {
	Since time.Time
	By    string // who asked for it, as they were named; may be empty
}

// Pause stops the schedule of a site's function from firing, until [Store.Resume].
// It belongs to the function and not to a deploy, so it survives those, and there
// need be no such function yet. Ticks that are due meanwhile are skipped for good.
// One that is paused stays as it is: nil.
func (s *Store) Pause(ctx context.Context, site, function, who string) error {
	const doing = "pausing a schedule"
	word, err := s.run(ctx, pauseScript, doing, []string{pausesKey(site)}, function, who, maxPauses)
	if err == nil && word != "paused" {
		err = unexpected(doing, word)
	}
	return err
}

// Resume ends the pause of a function's schedule: it fires its next tick. One
// that is not paused: nil.
func (s *Store) Resume(ctx context.Context, site, function string) error {
	const doing = "resuming a schedule"
	word, err := s.run(ctx, resumeScript, doing, []string{pausesKey(site)}, function)
	if err == nil && word != "resumed" {
		err = unexpected(doing, word)
	}
	return err
}

// Paused lists the pauses of a site that are under way, by function.
func (s *Store) Paused(ctx context.Context, site string) (map[string]Pause, error) {
	const doing = "reading the paused schedules"
	stored, err := s.rdb.HGetAll(ctx, pausesKey(site)).Result()
	if err != nil {
		return nil, failed(ctx, err, doing)
	}
	paused := map[string]Pause{}
	for function, spans := range stored {
		open, isOpen := strings.CutSuffix(spans, "-")
		if strings.Contains(function, "/") || !isOpen {
			continue
		}
		ms, err := strconv.ParseInt(open[strings.LastIndex(open, " ")+1:], 10, 64)
		if err != nil {
			return nil, unexpected(doing, spans)
		}
		paused[function] = Pause{Since: fromMillis(ms), By: stored[function+"/by"]}
	}
	return paused, nil
}
