package httpapi

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/invocation"
)

// logPage is how many log lines are read at once.
const logPage = 500

// Forms of a log where the caller does not ask for one.
const (
	textLog = "text/plain"
	jsonLog = "application/json"
)

// foundKey is where a request has the record that it is about.
const foundKey = "invocation"

// found reads the record in the path, once for a request.
func (s *server) found(c echo.Context) (invocation.Invocation, error) {
	if inv, ok := c.Get(foundKey).(invocation.Invocation); ok {
		return inv, nil
	}
	inv, err := s.Invocations.Invocation(c.Request().Context(), c.Param("id"))
	if err == nil {
		c.Set(foundKey, inv)
	}
	return inv, err
}

// invocation answers with a record.
func (s *server) invocation(c echo.Context) error {
	inv, err := s.found(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, api.FromInvocation(inv))
}

// cancel answers 200 with the cancelled record, or 202 with one whose attempt
// is being stopped.
func (s *server) cancel(c echo.Context) error {
	inv, stopping, err := s.Cancel.Cancel(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	status := http.StatusOK
	if stopping {
		status = http.StatusAccepted
	}
	return c.JSON(status, api.FromInvocation(inv))
}

// logs answers with the log of an invocation: as text, as a JSON array, or as
// an event stream that goes on until the invocation is finished.
func (s *server) logs(form string) echo.HandlerFunc {
	return func(c echo.Context) error {
		inv, err := s.found(c)
		if err != nil {
			return err
		}
		switch {
		case wants(c, "text/event-stream"):
			return s.followLog(c, inv)
		case wants(c, jsonLog), form == jsonLog && !wants(c, textLog):
			return s.writeLog(c, inv.ID, &jsonWriter{})
		default:
			return s.writeLog(c, inv.ID, &textWriter{})
		}
	}
}

// logWriter writes the lines of a log in some form.
type logWriter interface {
	contentType() string
	line(w *bufio.Writer, l invocation.LogLine) error
	end(w *bufio.Writer) error
}

// writeLog writes the log as it is now, page by page.
func (s *server) writeLog(c echo.Context, id string, form logWriter) error {
	after := c.QueryParam("after")
	lines, err := s.Invocations.Log(c.Request().Context(), id, after, logPage)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderContentType, form.contentType())
	c.Response().WriteHeader(http.StatusOK)
	w := bufio.NewWriter(c.Response())
	for {
		for _, l := range lines {
			if err := form.line(w, l); err != nil {
				return err
			}
		}
		if len(lines) < logPage {
			break
		}
		if lines, err = s.Invocations.Log(c.Request().Context(), id, lines[len(lines)-1].Cursor, logPage); err != nil {
			return err
		}
	}
	if err := form.end(w); err != nil {
		return err
	}
	return w.Flush()
}

type textWriter struct{}

func (textWriter) contentType() string { return "text/plain; charset=utf-8" }

func (textWriter) line(w *bufio.Writer, l invocation.LogLine) error {
	_, err := fmt.Fprintf(w, "%s %s\n", l.Time.UTC().Format("2006-01-02T15:04:05.000Z"), l.Text)
	return err
}

func (textWriter) end(*bufio.Writer) error { return nil }

type jsonWriter struct{ lines int }

func (*jsonWriter) contentType() string { return "application/json" }

func (j *jsonWriter) line(w *bufio.Writer, l invocation.LogLine) error {
	before := byte(',')
	if j.lines == 0 {
		before = '['
	}
	j.lines++
	if err := w.WriteByte(before); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(l)
}

func (j *jsonWriter) end(w *bufio.Writer) error {
	end := "]\n"
	if j.lines == 0 {
		end = "[]\n"
	}
	_, err := w.WriteString(end)
	return err
}

// followLog streams a log as server-sent events: one per line, whose id is the
// line's cursor, so that a client that comes back with Last-Event-ID misses
// nothing; then an "end" event with the final state. A client that comes back
// after the end gets 204, which tells it to stay away.
func (s *server) followLog(c echo.Context, inv invocation.Invocation) error {
	after := cmp.Or(c.Request().Header.Get("Last-Event-ID"), c.QueryParam("after")) // where it broke off, or where it was to begin
	if after != "" && inv.State.Terminal() {
		rest, err := s.Invocations.Log(c.Request().Context(), inv.ID, after, 1)
		if err != nil {
			return err
		}
		if len(rest) == 0 {
			return c.NoContent(http.StatusNoContent)
		}
	}
	control := http.NewResponseController(c.Response())
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	c.Response().WriteHeader(http.StatusOK)
	send := func(format string, args ...any) error {
		_ = control.SetWriteDeadline(time.Now().Add(writeLimit))
		if _, err := fmt.Fprintf(c.Response(), format, args...); err != nil {
			return err
		}
		return control.Flush()
	}
	if err := send(": following %s\n\n", inv.ID); err != nil {
		return err
	}
	return s.stream(c.Request().Context(), inv.ID, after, send)
}

// stream sends lines, heartbeats and the end. It returns nil when the gateway
// stops, so that clients come back to another one.
func (s *server) stream(ctx context.Context, id, after string, send func(string, ...any) error) error {
	ctx, cancel := context.WithCancel(ctx)
	lines := make(chan invocation.LogLine)
	ended := make(chan error, 1)
	go func() {
		ended <- s.Invocations.FollowLog(ctx, id, after, func(l invocation.LogLine) error {
			select {
			case lines <- l:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		close(ended)
	}()
	defer func() {
		cancel()
		for range ended { // until the follower is gone
		}
	}()
	beat := time.NewTicker(s.Heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.Stopping:
			return nil
		case <-beat.C:
			err = send(": still here\n\n")
		case l := <-lines:
			data, marshalErr := json.Marshal(l)
			if marshalErr != nil {
				return marshalErr
			}
			err = send("id: %s\ndata: %s\n\n", l.Cursor, data)
		case err = <-ended:
			if err != nil {
				return err
			}
			return s.sendEnd(ctx, id, send)
		}
		if err != nil {
			return err
		}
	}
}

// sendEnd sends the final state.
func (s *server) sendEnd(ctx context.Context, id string, send func(string, ...any) error) error {
	inv, err := s.Invocations.Invocation(ctx, id)
	if err != nil {
		return err
	}
	return send("event: end\ndata: {\"state\":%q}\n\n", inv.State)
}
