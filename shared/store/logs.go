package store

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/function"
	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/redisdb"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/lines_head.lua
	linesHead string
	//go:embed lua/lines_check.lua
	linesCheck string
	//go:embed lua/lines_apply.lua
	linesApply string

	linesScript = alone(redisdb.Step{Head: linesHead, Check: linesCheck, Apply: linesApply, Tail: recordTail})
)

const (
	// maxBatch bounds the lines that one script appends: Redis does nothing else meanwhile.
	maxBatch = 500
	// maxShort is how many bytes of lines a record keeps itself; a longer log is a
	// stream. A record with some is read again with each retry.
	maxShort = 4 << 10
	// followPage is how many lines a follower reads at once.
	followPage = 500
	// A follower looks again so soon after a line, and less and less often while
	// none comes.
	minFollowPause = 20 * time.Millisecond
	maxFollowPause = 500 * time.Millisecond
)

// LogSource says who wrote log lines.
type LogSource struct {
	Site       string        `json:"site"`
	Deploy     string        `json:"deploy"`
	Function   string        `json:"function"`
	Kind       function.Kind `json:"kind"`
	Invocation string        `json:"invocation"`
}

// LogEntry is a line of the live feed. It has no Cursor.
type LogEntry struct {
	LogSource
	invocation.LogLine
}

// feedMessage is what the live feed carries.
type feedMessage struct {
	Source LogSource            `json:"source"`
	Lines  []invocation.LogLine `json:"lines"`
}

// AppendLog adds lines to the invocation's log, if it has a record (sync calls
// have none) and the attempt is its newest, and sends them to the live feed.
// All lines are of one attempt. Lines of an attempt that is not the newest are
// refused with ErrFenced, and neither stored nor sent.
//
// The same batch twice in a row, times included, is stored once, so a batch of
// up to 500 lines may be repeated after fault.Unavailable. Longer ones are
// split, and then a repetition may store some lines twice.
func (s *Store) AppendLog(ctx context.Context, src LogSource, lines []invocation.LogLine) error {
	for batch := range slices.Chunk(lines, maxBatch) {
		if err := s.appendBatch(ctx, src, batch); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) appendBatch(ctx context.Context, src LogSource, lines []invocation.LogLine) error {
	const doing = "appending to a log"
	if !hasRecord(src.Kind) {
		return s.feed(ctx, src, lines)
	}
	step, err := s.Lines(src, lines)
	if fault.Is(err, fault.NotFound) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	verdict, err := s.runStep(ctx, linesScript, doing, step)
	if err != nil {
		return err
	}
	return ended(verdict, doing, src.Invocation)
}

// Lines is the step that adds 1 to 500 lines of one attempt to the invocation's
// log, as [Store.AppendLog] does. Its Check returns Fenced if the attempt is not
// the newest. Of a batch that was the last to be stored, Apply stores nothing, so
// that a step that rides along, such as End, does its work all the same. Lines
// stands before End.
//
// An ID that cannot be one, or a kind without records: fault.NotFound.
func (s *Store) Lines(src LogSource, lines []invocation.LogLine) (redisdb.Step, error) {
	if !validID(src.Invocation) || !hasRecord(src.Kind) {
		return redisdb.Step{}, UnknownInvocation(src.Invocation)
	}
	if len(lines) == 0 || len(lines) > maxBatch {
		return redisdb.Step{}, fmt.Errorf("a batch has 1 to %d lines, and not %d", maxBatch, len(lines))
	}
	source, err := json.Marshal(src)
	if err != nil {
		return redisdb.Step{}, err
	}
	attempt := lines[0].Attempt
	const fixed = 6
	args := append(make([]any, 0, fixed+len(lines)), attempt, nil, s.opts.MaxLogLines, nil, logChannel(src.Site), source)
	identity, size := sha256.New(), 0
	for _, line := range lines {
		if line.Attempt != attempt {
			return redisdb.Step{}, fmt.Errorf("a batch has lines of the attempts %d and %d", attempt, line.Attempt)
		}
		line.Cursor = ""
		text, err := json.Marshal(line)
		if err != nil {
			return redisdb.Step{}, err
		}
		identity.Write(text)
		size += len(text)
		args = append(args, text)
	}
	args[1], args[3] = hex.EncodeToString(identity.Sum(nil)[:16]), 0
	if size <= maxShort && len(lines) <= s.opts.MaxLogLines {
		args[3] = 1
	}
	return redisdb.Step{
		Head: recordHead, Check: linesCheck, Apply: linesApply, Tail: recordTail,
		Keys: s.recordKeys(src.Kind, src.Invocation), Args: args,
	}, nil
}

// feed sends lines that are not kept to the live feed.
func (s *Store) feed(ctx context.Context, src LogSource, lines []invocation.LogLine) error {
	message, err := json.Marshal(feedMessage{src, lines})
	if err != nil {
		return fmt.Errorf("sending log lines: %w", err)
	}
	return failed(ctx, s.rdb.Publish(ctx, logChannel(src.Site), message).Err(), "sending log lines")
}

// Log reads up to limit lines after the cursor ("" is the beginning); a limit
// that is not positive means all that are kept. Unknown invocation:
// fault.NotFound. A cursor that cannot be one: fault.Invalid.
func (s *Store) Log(ctx context.Context, id, after string, limit int) ([]invocation.LogLine, error) {
	if limit <= 0 {
		limit = math.MaxInt32 // appending has bounded the log already
	}
	_, _, lines, err := s.readLog(ctx, recordKinds(), id, after, limit)
	return lines, err
}

// FollowLog calls emit for each line after the cursor, waits for more, and
// returns nil once the invocation is terminal and its last line was emitted,
// or the error that emit or ctx gave.
//
// It asks again and again, at most half a second apart, where XREAD could
// block: a blocked read holds one of the client's few connections for as long
// as somebody looks at a log, and a few dozen readers would then hold up every
// other command of the service.
func (s *Store) FollowLog(ctx context.Context, id, after string, emit func(invocation.LogLine) error) error {
	kinds, wait := recordKinds(), minFollowPause
	for {
		kind, state, lines, err := s.readLog(ctx, kinds, id, after, followPage)
		if len(kinds) == 1 && fault.Is(err, fault.NotFound) {
			return nil // it was there before, so it is over and has expired
		}
		if err != nil {
			return err
		}
		kinds = []function.Kind{kind}
		for _, line := range lines {
			if err := emit(line); err != nil {
				return err
			}
			after = line.Cursor
		}
		switch {
		case len(lines) > 0:
			wait = minFollowPause
			if err := ctx.Err(); err != nil {
				return err
			}
			if len(lines) == followPage {
				continue // there is more already
			}
		case state.Terminal():
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, maxFollowPause)
	}
}

// readLog reads lines after a cursor, and which of the kinds the invocation is.
// The state is read before the lines: if it is terminal and there are no lines,
// none will come, because an attempt writes its last line before it finishes.
// A short log is read with the state; if it has become a stream since, the stream
// has its lines too, and only that counts.
func (s *Store) readLog(ctx context.Context, kinds []function.Kind, id, after string, limit int) (function.Kind, invocation.State, []invocation.LogLine, error) {
	start := "-"
	switch {
	case !validID(id):
		return "", "", nil, UnknownInvocation(id)
	case after == "":
	case validCursor(after):
		start = "(" + after
	default:
		return "", "", nil, fault.New(fault.Invalid, "reading a log: %.40q is no place in a log; use the cursor of a line, or none", after)
	}
	states := make([]*redis.SliceCmd, len(kinds))
	entries := make([]*redis.XMessageSliceCmd, len(kinds))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, kind := range kinds {
			states[i] = p.HMGet(ctx, recordKey(kind, id), fieldState, fieldLog)
			entries[i] = p.XRangeN(ctx, logKey(kind, id), start, "+", int64(limit))
		}
		return nil
	})
	if err != nil {
		return "", "", nil, failed(ctx, err, "reading a log")
	}
	for i, kind := range kinds {
		state, ok := states[i].Val()[0].(string)
		if !ok {
			continue
		}
		lines, err := logLines(entries[i].Val())
		if short, _ := states[i].Val()[1].(string); err == nil && len(lines) == 0 && short != "" {
			lines, err = shortLog(short, after, limit)
		}
		if err != nil {
			return "", "", nil, fmt.Errorf("reading the log of %s: %w", id, err)
		}
		return kind, invocation.State(state), lines, nil
	}
	return "", "", nil, UnknownInvocation(id)
}

// logLines translates entries of a stream.
func logLines(entries []redis.XMessage) ([]invocation.LogLine, error) {
	lines := make([]invocation.LogLine, 0, len(entries))
	for _, entry := range entries {
		text, _ := entry.Values["line"].(string)
		line, err := logLine(text, entry.ID)
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// shortLog reads up to limit lines after a cursor of a log that is in its record.
// Of all places only those that lines_apply.lua gives them begin with 0.
func shortLog(log, after string, limit int) (lines []invocation.LogLine, err error) {
	done := 0
	if ms, n, _ := strings.Cut(after, "-"); ms == "0" {
		done, err = strconv.Atoi(n)
	} else if after != "" {
		return nil, nil
	}
	if err != nil {
		return nil, nil // a number beyond any line's
	}
	n := 0
	for text := range strings.SplitSeq(log, "\n") {
		if n++; n <= done || len(lines) == limit {
			continue
		}
		line, err := logLine(text, "0-"+strconv.Itoa(n))
		if err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, nil
}

func logLine(text, cursor string) (line invocation.LogLine, err error) {
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		return line, fmt.Errorf("line %s: %w", cursor, err)
	}
	line.Cursor = cursor
	return line, nil
}

// WatchLogs calls fn for each line that any function of the site writes from
// now on, one at a time, until ctx ends, and returns the context's error. Best
// effort: a slow reader misses lines, and so does everybody while Redis is
// away. ready, if not nil, is closed once the subscription stands.
func (s *Store) WatchLogs(ctx context.Context, site string, ready chan<- struct{}, fn func(LogEntry)) error {
	stands := func() {
		if ready != nil {
			close(ready)
		}
	}
	return s.subscribe(ctx, logChannel(site), stands, func(payload string) {
		var message feedMessage
		if json.Unmarshal([]byte(payload), &message) != nil {
			return // not ours: anybody who can reach Redis can publish
		}
		for _, line := range message.Lines {
			fn(LogEntry{message.Source, line})
		}
	})
}
