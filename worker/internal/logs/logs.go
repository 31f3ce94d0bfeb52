// Package logs carries the lines that an attempt writes to the log store.
//
// Lines are sent in batches: 100 ms after the first one, when 64 KiB have come
// together, and at the end; the last batch can go with the record of the end
// instead ([Writer.Finish]). A log store that is slow or away never holds up
// the attempt: what does not fit into the buffer, and what the store did not
// take, is dropped and counted in a line of its own. A batch is sent once
// only, because one whose reply was lost may be in the log already, and lines
// that stand there twice mislead more than a count of lost ones.
package logs

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nightshift/nightshift/shared/invocation"
	"github.com/nightshift/nightshift/shared/store"
)

// Bounds. Sizes are of the lines' texts plus what a line weighs beside them.
const (
	flushAfter    = 100 * time.Millisecond
	batchSize     = 64 << 10
	maxLines      = 400 // of a batch; with one more, of lost lines, it is one for the store too
	bufferSize    = 1 << 20
	lineOverhead  = 64
	appendTimeout = time.Second
	closeTimeout  = 2 * time.Second
)

// System is the stream of the lines that we and not the function write.
const System = "system"

// Sink is where the lines go: store.Store.
type Sink interface {
	// AppendLog adds lines to an invocation's log. It is called from one
	// goroutine per attempt.
	AppendLog(ctx context.Context, src store.LogSource, lines []invocation.LogLine) error
}

// Writer takes the lines of one attempt. Its methods are safe for concurrent
// use and do not wait for the sink, except Close and Finish.
type Writer struct {
	sink    Sink
	source  store.LogSource
	attempt int
	metrics *Metrics
	log     *slog.Logger

	mu      sync.Mutex
	sender  *sender     // nil: none was needed so far
	timer   *time.Timer // starts the sender; set with the first line
	closed  bool
	lines   []invocation.LogLine
	size    int
	dropped int
}

// sender is what sends lines. Most attempts are over before one is needed.
type sender struct {
	ctx    context.Context // of the sink's calls
	cancel context.CancelFunc

	first  chan struct{} // a line came into the empty buffer
	full   chan struct{} // a batch has come together
	ending chan struct{} // closed by Close and Finish
	done   chan struct{} // closed when the goroutine has ended
}

func newSender() *sender {
	s := &sender{
		first:  make(chan struct{}, 1),
		full:   make(chan struct{}, 1),
		ending: make(chan struct{}),
		done:   make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// NewWriter makes a writer. It costs a goroutine from 100 ms after the first line
// on, or from the first batch, until it is closed.
func NewWriter(sink Sink, source store.LogSource, attempt int, metrics *Metrics, log *slog.Logger) *Writer {
	return &Writer{sink: sink, source: source, attempt: attempt, metrics: metrics, log: log}
}

// System adds a line of ours.
func (w *Writer) System(format string, args ...any) { w.Line(System, fmt.Sprintf(format, args...)) }

// Line adds a line. After Close it is dropped.
func (w *Writer) Line(stream, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	line := w.line(stream, text)
	size := len(line.Text) + lineOverhead
	if w.size+size > bufferSize {
		w.dropped++
		w.metrics.lost.Inc()
		return
	}
	w.lines = append(w.lines, line)
	before := w.size
	w.size += size
	switch {
	case w.timer == nil:
		w.timer = time.AfterFunc(flushAfter, w.start)
	case w.sender != nil && before == 0:
		signal(w.sender.first)
	}
	if w.size >= batchSize {
		w.startLocked()
		signal(w.sender.full)
	}
}

// start starts the sender.
func (w *Writer) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.startLocked()
}

func (w *Writer) startLocked() {
	if w.sender != nil || w.closed {
		return
	}
	w.sender = newSender()
	go w.send(w.sender)
}

func (w *Writer) line(stream, text string) invocation.LogLine {
	return invocation.LogLine{Time: time.Now().UTC(), Attempt: w.attempt, Stream: stream, Text: strings.ToValidUTF8(text, "\uFFFD")}
}

// Close sends what is left and ends the writer, within 2 s. Idempotent.
func (w *Writer) Close() { w.end(false) }

// Finish ends the writer as Close does, but returns the last lines instead of
// sending them, one batch at most: they are the caller's to send.
func (w *Writer) Finish() []invocation.LogLine {
	w.end(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	batch, _, _ := w.takeLocked()
	return batch
}

// end ends the writer, and sends what is left, or with keep all but a last batch.
func (w *Writer) end(keep bool) {
	w.mu.Lock()
	s, again := w.sender, w.closed
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	if s == nil {
		if again || keep && w.isLast() {
			return // nothing is being sent, and nothing is to be
		}
		s = newSender()
		close(s.done) // it has no goroutine: what is left is sent by this one
	}
	if !again {
		close(s.ending)
	}
	timer := time.AfterFunc(closeTimeout, s.cancel)
	defer timer.Stop()
	defer s.cancel()
	<-s.done
	if again {
		return
	}
	for s.ctx.Err() == nil && !w.flush(s, keep) {
	}
}

// send is the goroutine that calls the sink.
func (w *Writer) send(s *sender) {
	defer close(s.done)
	timer := time.NewTimer(flushAfter)
	defer timer.Stop()
	for {
		w.flush(s, false)
		select {
		case <-s.first:
		case <-s.ending:
			return
		}
		timer.Reset(flushAfter)
		select {
		case <-timer.C:
		case <-s.full:
		case <-s.ending:
			return
		}
	}
}

// flush sends what is in the buffer, batch by batch, with keep all but a last one,
// and reports whether it has. It stops after a batch that failed: the sink may need
// a moment, and by then more lines are there to send with one call.
func (w *Writer) flush(s *sender, keep bool) (done bool) {
	for {
		if keep && w.isLast() {
			return true
		}
		batch, lost, told := w.take()
		if len(batch) == 0 {
			return true
		}
		if err := w.append(s.ctx, batch); err != nil {
			w.metrics.lost.Add(float64(lost)) // those that it tells of are counted already
			lost += told
			w.log.Warn("log lines lost", "invocation", w.source.Invocation, "site", w.source.Site, "function", w.source.Function,
				"attempt", w.attempt, "lines", lost, "error", err)
			return w.lose(s, lost)
		}
	}
}

// isLast reports whether what is in the buffer is one batch at most.
func (w *Writer) isLast() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.size <= batchSize && len(w.lines) <= maxLines
}

// lose counts lines that the sink did not take.
func (w *Writer) lose(s *sender, lines int) (empty bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped += lines
	if len(w.lines) > 0 {
		signal(s.first)
	}
	return len(w.lines) == 0
}

func (w *Writer) append(ctx context.Context, batch []invocation.LogLine) error {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	return w.sink.AppendLog(ctx, w.source, batch)
}

// take removes the next batch from the buffer. If the sink does not take it, lost
// are the function's lines that are lost with it, and told those that were dropped
// before, of which its last line tells.
func (w *Writer) take() (batch []invocation.LogLine, lost, told int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.takeLocked()
}

func (w *Writer) takeLocked() (batch []invocation.LogLine, lost, told int) {
	n, size := 0, 0
	for n < len(w.lines) && n < maxLines && (n == 0 || size < batchSize) {
		size += len(w.lines[n].Text) + lineOverhead
		n++
	}
	batch, w.lines = w.lines[:n:n], w.lines[n:]
	w.size -= size
	lost = len(batch)
	if len(w.lines) == 0 && w.dropped > 0 {
		batch = append(batch, w.line(System, fmt.Sprintf("%d log lines were lost before this one: the log store did not take them", w.dropped)))
		told, w.dropped = w.dropped, 0
	}
	return batch, lost, told
}

// signal makes sure that a channel of capacity one holds a token.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
